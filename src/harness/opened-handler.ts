/** Behind `sluice/testing`: a workbench with one handler, and its sitting. */
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { handlersSettings } from "../deployments/settings.ts";
import { Fault } from "../fault.ts";
import { parseDuration } from "../quantity.ts";
import { answering } from "./fetch-answers.ts";
import type { Fetched } from "./fetch-answers.ts";
import { workbenchOptions, findConfig } from "./open.ts";
import { callEvent, noticeEvent } from "./inner-events.ts";
import { Sitting } from "./sitting.ts";
import type { Sent } from "./sitting.ts";
import type {
  CallOptions,
  HandlerRun,
  NoticeOptions,
  OpenedHandler,
  OpenHandlerOptions,
  SendOptions,
} from "./testing-api.d.ts";
import type { Notices } from "../sandbox/api/handler.d.ts";
import { sourceAt, Workbench } from "./workbench.ts";
import type { Taken, WorkbenchOptions } from "./workbench.ts";

const START = Date.UTC(2026, 0, 1);

export async function openHandler(file: string | URL, options: OpenHandlerOptions = {}): Promise<OpenedHandler> {
  const path = file instanceof URL ? fileURLToPath(file) : resolve(file);
  const source = sourceAt(path);
  const bench = await Workbench.open(await surroundings(path, source.name, options));
  try {
    const { params, secrets, state, stateVersion, fetch } = options;
    const taken = await bench.take(await bench.build(source), { params, secrets, stateVersion });
    const fetched: Fetched[] = [];
    const sitting = new Sitting(bench, taken, {
      states: state,
      stateVersion,
      ...(fetch === undefined ? {} : { fetch: answering(fetch, fetched) }),
    });
    return new Opened(bench, taken, sitting, fetched, timeOf(options.time));
  } catch (error) {
    await bench.close();
    throw error;
  }
}

/** Of a gateway's config where one is named, with what the test sets over it. */
async function surroundings(path: string, name: string, options: OpenHandlerOptions): Promise<WorkbenchOptions> {
  const named = options.config === undefined ? undefined : { config: options.config, env: process.env };
  const found = named === undefined ? undefined : workbenchOptions(await findConfig(named), named);
  const given = handlersSettings.safeParse({ dir: dirname(path), settings: { [name]: options.settings ?? {} } });
  if (!given.success) {
    const problems = given.error.issues.map((issue) => `${issue.path.slice(2).join(".")} ${issue.message}`).join("; ");
    throw new Fault("DEPLOY_CONFIG_INVALID", `the settings of handler ${name}: ${problems}`, { where: path });
  }
  if (found === undefined) return { handlers: given.data };
  const own = { ...found.handlers.settings[name], ...given.data.settings[name] };
  const settings = { ...found.handlers.settings, [name]: own };
  return { ...found, handlers: { ...found.handlers, settings } };
}

function timeOf(time: string | Date | undefined): number {
  if (time === undefined) return START;
  const ms = new Date(time).getTime();
  if (Number.isNaN(ms)) throw new TypeError(`${String(time)} is no time`);
  return ms;
}

class Opened implements OpenedHandler {
  readonly name: string;
  time: Date;
  readonly #bench: Workbench;
  readonly #sitting: Sitting;
  readonly #fetched: Fetched[];
  readonly #taken: Taken;
  #last: Promise<unknown> = Promise.resolve();

  constructor(bench: Workbench, taken: Taken, sitting: Sitting, fetched: Fetched[], timeMs: number) {
    this.#bench = bench;
    this.#taken = taken;
    this.name = taken.name;
    this.#sitting = sitting;
    this.#fetched = fetched;
    this.time = new Date(timeMs);
  }

  send(topic: string, payload?: unknown, { after, ...options }: SendOptions = {}): Promise<HandlerRun> {
    const made = { device: "test", ...options, topic };
    return this.#next(after, (timeMs) => ({ ...made, payload: bytesOf(payload), timeMs }));
  }

  call(path: string, payload?: unknown, { after, attempt, ...call }: CallOptions = {}): Promise<HandlerRun> {
    const isJson = !(payload instanceof Uint8Array) && typeof payload !== "string";
    const made = { ...call, webhook: path };
    return this.#next(after, (timeMs) => callEvent(this.#taken, made, bytesOf(payload), isJson, { timeMs, attempt }));
  }

  notice(name: keyof Notices, data: object = {}, options: NoticeOptions = {}): Promise<HandlerRun> {
    const { after, attempt, device, subject } = options;
    const made = { on: name, subject };
    return this.#next(after, (timeMs) => noticeEvent(made, { ...data }, { timeMs, attempt, device }));
  }

  pass(time: number | string): Promise<readonly HandlerRun[]> {
    return this.#queued(async () => {
      const fromMs = this.time.getTime();
      const untilMs = this.#pass(time);
      const runs: HandlerRun[] = [];
      for (const tick of this.#sitting.ticks(fromMs, untilMs)) runs.push(await this.#run(tick));
      return runs;
    });
  }

  #next(after: SendOptions["after"], make: (timeMs: number) => Sent | undefined): Promise<HandlerRun> {
    return this.#queued(() => this.#run(make(this.#pass(after))));
  }

  /** One after the other, in the order of the calls. */
  #queued<Result>(work: () => Promise<Result>): Promise<Result> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => undefined);
    return done;
  }

  /** Returns what time it is then. */
  #pass(time: number | string | undefined): number {
    const timeMs = this.time.getTime() + msOf(time);
    this.time = new Date(timeMs);
    return timeMs;
  }

  async #run(sent: Sent | undefined): Promise<HandlerRun> {
    this.#fetched.length = 0;
    const { at, key, outputs, published, logs, failure, tookMs } = await this.#sitting.send(sent);
    return { at, key, outputs, published, logs, fetched: [...this.#fetched], failure, tookMs };
  }

  state(key: string): unknown {
    return this.#sitting.state(key);
  }

  setState(key: string, state: object | undefined): void {
    this.#sitting.setState(key, state);
  }

  get states(): Readonly<Record<string, unknown>> {
    return this.#sitting.states;
  }

  async close(): Promise<void> {
    await this.#last;
    await this.#bench.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function bytesOf(payload: unknown): Uint8Array {
  if (payload instanceof Uint8Array) return payload;
  if (typeof payload === "string") return Buffer.from(payload);
  return Buffer.from(payload === undefined ? "" : JSON.stringify(payload));
}

function msOf(after: number | string | undefined): number {
  if (after === undefined) return 0;
  const ms = typeof after === "number" ? after : parseDuration(after);
  if (ms === undefined || !Number.isFinite(ms)) throw new TypeError(`${after} is no duration: write 500ms, 10s or 5m`);
  return ms;
}
