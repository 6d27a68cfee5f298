/**
 * Rig: what is done with hostile handlers. They are written into the folder of a gateway that runs, each gets its event
 * and its probe, and it is told what became of them: dead letters from the control API, outputs from the far end.
 */
import { closeSync, existsSync, openSync, readSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import type { GatewayProcess, Status } from "../../stories/rig/gateway-process.ts";
import { RawClient } from "../../stories/rig/raw-client.ts";
import { sleep, until } from "../../stories/rig/wait.ts";
import { EVENT, PROBE } from "../battery/hostile.ts";
import type { Cost, Hostile } from "../battery/hostile.ts";
import type { RunnerWatch } from "./runner-watch.ts";

/** What became of one event. */
export interface Fate {
  /** "done", the fault code of its dead letter, or "endless" when it had not ended in time. */
  readonly end: string;
  readonly message: string;
  /** Data of its outputs, in order. */
  readonly outputs: readonly unknown[];
}

export interface Suffered {
  readonly event: Fate;
  /** Undefined where the module answers none. */
  readonly probe: Fate | undefined;
  readonly cost: Cost;
  readonly fromMs: number;
  readonly tookMs: number;
  /** For how long each runner that ended had had the event; where it had to wait for the box, its processor time. */
  readonly livedMs: readonly number[];
  readonly peakBytes: number;
}

interface Letter {
  readonly kind: "task" | "output";
  readonly key: string;
  readonly failure: { readonly code: string; readonly message: string };
}

interface HandlerFigures {
  readonly name: string;
  readonly waiting: number;
  readonly parked: number;
  readonly running: number;
  readonly failure?: string;
}

export const UPLINK = "hostile";
export const PAYLOAD = `{"hostile":true}`;
const LOOK_MS = 10;
const DEPLOYED_MS = 60_000;
const PROBED_MS = 15_000;

export class Siege {
  readonly #gateway: GatewayProcess;
  readonly #watch: RunnerWatch;
  readonly #attacker: RawClient;
  #lastMessageId = 0;
  /** Events that ended, as the ledger must have them. */
  done = 0;
  dead = 0;

  private constructor(gateway: GatewayProcess, watch: RunnerWatch, attacker: RawClient) {
    this.#gateway = gateway;
    this.#watch = watch;
    this.#attacker = attacker;
  }

  static async begin(gateway: GatewayProcess, watch: RunnerWatch): Promise<Siege> {
    return new Siege(gateway, watch, await RawClient.open(gateway.mqttPort, "attacker"));
  }

  /** Resolves when each is live or has failed, with the reasons of those that have, by name. */
  async deploy(entries: readonly Hostile[]): Promise<ReadonlyMap<string, string>> {
    for (const { name, source } of entries) this.#gateway.saveHandler(`${name}.js`, source);
    return await until(
      "the hostile handlers",
      async () => {
        const figures = new Map((await this.#handlers()).map((handler) => [handler.name, handler]));
        if (!entries.every(({ name }) => figures.has(name))) return undefined;
        return new Map([...figures].flatMap(([name, { failure }]) => (failure === undefined ? [] : [[name, failure]])));
      },
      { withinMs: DEPLOYED_MS, everyMs: 50, tell: () => this.#gateway.logTail(5) },
    );
  }

  async withdraw(entries: readonly Hostile[]): Promise<void> {
    for (const { name } of entries) rmSync(join(this.#gateway.folder, "handlers", `${name}.js`));
    const names = new Set(entries.map(({ name }) => name));
    await until("their end", async () => !(await this.#handlers()).some(({ name }) => names.has(name)), {
      withinMs: DEPLOYED_MS,
      everyMs: 50,
    });
  }

  async suffer({ name, probed }: Hostile, withinMs: number): Promise<Suffered> {
    this.#watch.look();
    this.#watch.reset();
    const before = this.#watch.deaths.length;
    const fromMs = performance.now();
    const event = await this.#send(name, EVENT, withinMs);
    const tookMs = performance.now() - fromMs;
    const probe = probed && event.end !== "endless" ? await this.#send(name, PROBE, PROBED_MS) : undefined;
    this.#watch.look();
    const deaths = this.#watch.deaths.slice(before);
    const livedMs = deaths.map(({ atMs, firstMs, busyMs }, nth) =>
      Math.min(busyMs, atMs - Math.max(fromMs, firstMs, deaths[nth - 1]?.atMs ?? 0)),
    );
    const events = (probe?.outputs[0] as { events?: unknown } | undefined)?.events;
    const cost = deaths.length > 0 ? "runner" : events === 0 ? "isolate" : "nothing";
    return { event, probe, cost, fromMs, tookMs, livedMs, peakBytes: this.#watch.peakBytes };
  }

  [Symbol.dispose](): void {
    this.#attacker[Symbol.dispose]();
  }

  async #send(name: string, key: string, withinMs: number): Promise<Fate> {
    const file = join(this.#gateway.folder, "cloud", `${UPLINK}.ndjson`);
    const from = existsSync(file) ? statSync(file).size : 0;
    const untilMs = performance.now() + withinMs;
    const messageId = (this.#lastMessageId = (this.#lastMessageId % 60_000) + 1);
    const topic = `hostile/${name}/${key}`;
    this.#attacker.send({ cmd: "publish", topic, qos: 1, messageId, dup: false, retain: false, payload: PAYLOAD });
    await this.#attacker.expect("puback");
    if (!(await this.#quiet(name, untilMs))) return { end: "endless", message: "", outputs: [] };
    const { letters } = (await this.#gateway.api(`/api/v1/dead?handler=${name}`)) as { letters: readonly Letter[] };
    const letter = letters.findLast((each) => each.kind === "task" && each.key === key);
    if (letter === undefined) this.done++;
    else this.dead++;
    const { code: end, message } = letter?.failure ?? { code: "done", message: "" };
    return { end, message, outputs: outputsOf(file, from, key) };
  }

  /** True when nothing of the handler is under way any more and its outputs have left, seen twice. */
  async #quiet(name: string, untilMs: number): Promise<boolean> {
    for (let quiet = 0; quiet < 2;) {
      const status = await this.#gateway.status();
      const handler = handlersOf(status).find((each) => each.name === name);
      const open = handler === undefined ? 1 : handler.waiting + handler.parked + handler.running;
      const isQuiet = open === 0 && (status.ledger.uplinks[UPLINK]?.waiting ?? 0) === 0;
      quiet = isQuiet ? quiet + 1 : 0;
      if (performance.now() > untilMs) return false;
      await sleep(LOOK_MS);
    }
    return true;
  }

  async #handlers(): Promise<readonly HandlerFigures[]> {
    return handlersOf(await this.#gateway.status());
  }
}

function handlersOf(status: Status): readonly HandlerFigures[] {
  return status["handlers"] as readonly HandlerFigures[];
}

/** What came of a key's event since the file had `from` bytes. */
function outputsOf(file: string, from: number, key: string): unknown[] {
  if (!existsSync(file)) return [];
  const bytes = Buffer.alloc(statSync(file).size - from);
  const handle = openSync(file, "r");
  readSync(handle, bytes, 0, bytes.length, from);
  closeSync(handle);
  return bytes
    .toString()
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .filter((line) => line["sluicekey"] === key)
    .map((line) => ("data_base64" in line ? { bytes: line["data_base64"] } : line["data"]));
}
