/** What `sluice invoke` does: one event, in a live sitting, with what the handler fetches really fetched. */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { readSecrets } from "../config.ts";
import type { Config, Environment } from "../config.ts";
import { shownTriggers } from "../deployments/shown.ts";
import { Egress } from "../egress/egress.ts";
import { Fault } from "../fault.ts";
import { version } from "../version.ts";
import { openEarly } from "./early.ts";
import type { OpenOptions } from "./open.ts";
import { sampleEvent } from "./inner-events.ts";
import { Sitting } from "./sitting.ts";
import type { Came, Sent } from "./sitting.ts";
import { sourceAt } from "./workbench.ts";

export interface Invoked {
  readonly came: Came;
  /** Of the event's key. */
  readonly stateAfter: unknown;
  /** The handler's source, for people. */
  readonly file: string;
  /** What runs the handler, for people. */
  readonly wants: readonly string[];
}

interface InvokeGiven {
  readonly state: unknown;
  readonly params: Readonly<Record<string, unknown>> | undefined;
}

const FETCHES_MAX = 256;
const FETCH_BYTES_MAX = 64 * 1024 * 1024;

/** `handler`: its name in the handlers' folder, or the path of its file. */
export async function invokeOnce(
  options: OpenOptions,
  handler: string,
  event: Pick<Sent, "payload" | "device" | "attempt"> & { readonly topic: string | undefined },
  { state, params }: InvokeGiven,
): Promise<Invoked> {
  const egress = new Egress({ limits: { fetchesMax: FETCHES_MAX, bytesMax: FETCH_BYTES_MAX }, version });
  const { bench, config } = await openEarly(options);
  try {
    const isFile = /\.(?:ts|js|mjs)$/.test(handler) && existsSync(handler);
    const source = isFile ? sourceAt(resolve(handler)) : await bench.source(handler);
    const built = await bench.build(source);
    const secrets = secretsOf(config, options.env);
    const taken = await bench.take(built, { params, secrets });
    egress.meet(taken.name);
    const timeMs = Date.now();
    const { topic, payload, ...rest } = event;
    const sent: Sent =
      topic === undefined ? sampleEvent(taken, payload, { ...rest, timeMs }) : { ...rest, topic, payload, timeMs };
    const sitting = new Sitting(bench, taken, { live: true, fetch: egress.fetch });
    const key = taken.keyOf(sent.topic, sent.device ?? "");
    sitting.setState(key, state);
    const came = await sitting.send(sent);
    return { came, stateAfter: sitting.state(key), file: taken.file, wants: shownTriggers(taken.settings) };
  } finally {
    await bench.close();
    egress.close();
  }
}

/** Those that can be had: what is missing is made up, as it may not matter here. */
function secretsOf(config: Config | undefined, env: Environment): Record<string, string> {
  const found: Record<string, string> = {};
  for (const [name, place] of Object.entries(config?.secrets ?? {})) {
    try {
      found[name] = readSecrets({ [name]: place }, env).get(name) ?? "";
    } catch (thrown) {
      if (!(thrown instanceof Fault)) throw thrown;
    }
  }
  return found;
}
