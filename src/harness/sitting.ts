/** A sitting: one handler is sent events, one by one, and the states of its keys are kept in between. */
import { isUtf8 } from "node:buffer";
import { eventRecordBytesMax, subjectOf, writeEventRecord } from "../event.ts";
import type { EventKind } from "../event.ts";
import { Fault } from "../fault.ts";
import type { Fetch } from "../fetch.ts";
import type { BatchResult, RunResult } from "../sandbox/results.ts";
import type { Failure, Task } from "../task.ts";
import type { LogLine, Taken, Workbench } from "./workbench.ts";

/** What a sitting sends. */
export interface Sent {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly kind?: EventKind | undefined;
  readonly device?: string | undefined;
  readonly qos?: 0 | 1 | 2 | undefined;
  readonly retain?: boolean | undefined;
  /** Of a webhook's call: its method, query and headers, as JSON. */
  readonly request?: string | undefined;
  /** When it is accepted and handled, milliseconds since 1970. */
  readonly timeMs: number;
  /** Which try this is, from 1. */
  readonly attempt?: number | undefined;
}

/** What a handler sent to uplinks. */
export interface SentOutput {
  readonly to: readonly string[];
  /** Parsed when it is JSON; else a text when the bytes are UTF-8, else a Uint8Array. */
  readonly data: unknown;
  readonly type: string;
  readonly subject: string;
}

/** What it published to local devices. */
export interface Published {
  readonly topic: string;
  readonly data: unknown;
  readonly qos: 0 | 1 | 2;
  readonly retain: boolean;
}

/** What became of one event. */
export interface Came {
  /** `unmatched`: the handler does not want it, so it was not run. */
  readonly at: "done" | "failed" | "unmatched";
  readonly key: string;
  readonly outputs: readonly SentOutput[];
  readonly published: readonly Published[];
  readonly logs: readonly LogLine[];
  /** Why it failed; `dead`: a gateway would not try it again. */
  readonly failure?: (Failure & { readonly dead: boolean }) | undefined;
  /** Time that it took in the isolate, and its processor time. Milliseconds. */
  readonly tookMs: number;
  readonly cpuMs: number;
  /** What the isolate's heap and buffers took when it had ended, garbage included; 0 when the isolate was lost. */
  readonly heapBytes: number;
}

export interface SittingOptions {
  /** States by key, before the first event; and the version that wrote them, where that is not the handler's own. */
  readonly states?: Readonly<Record<string, unknown>> | undefined;
  readonly stateVersion?: number | undefined;
  /** Answers what the handler fetches: then timers are waited for. */
  readonly fetch?: Fetch | undefined;
  /** In the isolates that a gateway would use, with waits that are waited for (no H1 and H3). */
  readonly live?: boolean | undefined;
}

const RUNNER = 0;
/** A runner may be lost to somebody else's doing; to one's own it is lost again. */
const RUNS_MAX = 2;
const TICKS_MAX = 1000;
const NOTHING = { outputs: [], published: [], logs: [], tookMs: 0, cpuMs: 0, heapBytes: 0 };

export class Sitting {
  readonly #bench: Workbench;
  readonly #taken: Taken;
  readonly #options: SittingOptions;
  readonly #states = new Map<string, string>();
  /** Keys whose state another version wrote. */
  readonly #others = new Set<string>();
  #seq = 0;

  constructor(bench: Workbench, taken: Taken, options: SittingOptions = {}) {
    this.#bench = bench;
    this.#taken = taken;
    this.#options = options;
    for (const [key, state] of Object.entries(options.states ?? {})) {
      this.setState(key, state);
      if (options.stateVersion !== undefined) this.#others.add(key);
    }
  }

  /** The state of a key; undefined when it has none. */
  state(key: string): unknown {
    const text = this.#states.get(key);
    return text === undefined ? undefined : (JSON.parse(text) as unknown);
  }

  setState(key: string, state: unknown): void {
    this.#others.delete(key);
    if (state === undefined || state === null) this.#states.delete(key);
    else this.#states.set(key, JSON.stringify(state));
  }

  get states(): Readonly<Record<string, unknown>> {
    return Object.fromEntries([...this.#states.keys()].map((key) => [key, this.state(key)]));
  }

  /** The ticks of the handler's schedule after `fromMs` and until `untilMs`, as events. Throws when they are too many. */
  ticks(fromMs: number, untilMs: number): readonly Sent[] {
    const { id } = this.#taken;
    const scheduled = [...this.#bench.triggers.schedule.scheduled].find(({ handler }) => handler === id);
    if (scheduled === undefined) return [];
    const instants = scheduled.plan.within(fromMs, untilMs, TICKS_MAX + 1);
    if (instants.length > TICKS_MAX)
      throw new RangeError(`the schedule ticks more than ${TICKS_MAX} times in that time`);
    return instants.map((timeMs) => {
      const payload = Buffer.from(JSON.stringify({ scheduled: new Date(timeMs).toISOString(), missed: 0 }));
      return { kind: "schedule", topic: scheduled.topic, payload, timeMs };
    });
  }

  /** undefined: what no gateway would take, such as a call with a method that the webhook does not have. */
  async send(sent: Sent | undefined): Promise<Came> {
    if (sent === undefined) return { at: "unmatched", key: "", ...NOTHING };
    const { hands, triggers } = this.#bench;
    const { id, keyOf } = this.#taken;
    const { topic, kind = "topic", device = "", attempt = 1 } = sent;
    const key = keyOf(topic, device);
    // With a kind and a topic of its own choosing a test may send whatever it likes.
    const isPlain = kind === "topic" || topic.startsWith(`$${kind}/`);
    if (isPlain && !triggers.match(kind, topic).includes(id)) return { at: "unmatched", key, ...NOTHING };
    const task: Task = {
      handler: id,
      seq: ++this.#seq,
      ...this.#record(sent),
      key,
      attempt: attempt - 1,
      parked: false,
    };
    hands.logs = [];
    hands.fetch = this.#options.fetch;
    const { result, ...spent } = await this.#run(task, sent.timeMs);
    const came = { key, ...NOTHING, logs: hands.logs, ...spent };
    if (result.at === "failed") return { ...came, at: "failed", failure: this.#failure(result, attempt) };
    const unknown = this.#unknownUplink(result.outputs);
    if (unknown !== undefined) {
      const failure = { code: unknown.code, message: unknown.message, dead: true };
      return { ...came, at: "failed", failure };
    }
    if (result.state !== undefined) {
      this.#others.delete(key);
      if (result.state === "") this.#states.delete(key);
      else this.#states.set(key, result.state);
    }
    return { ...came, at: "done", ...this.#sent(result.outputs, topic) };
  }

  #record(sent: Sent): { page: Buffer; at: number } {
    const { topic, payload, kind = "topic", device = "", qos = 1, retain = false, timeMs, request } = sent;
    const asked = request === undefined ? {} : { request };
    const draft = { kind, topic, device, payload, qos, retain, hops: 0, timeMs, ...asked };
    const page = Buffer.alloc(eventRecordBytesMax(draft, 1));
    writeEventRecord(page, 0, draft, [this.#taken.id]);
    return { page, at: 0 };
  }

  async #run(task: Task, timeMs: number): Promise<Spent & { result: Ended }> {
    for (let runs = 0; runs < RUNS_MAX; runs++) {
      const { result, ...spent } = await this.#runOnce(task, timeMs);
      if (result.at === "done" || result.at === "failed") return { result, ...spent };
    }
    const message = "the event took its runner's process down";
    const failure = { code: "TASK_CRASHED_RUNNER", message };
    return { result: { at: "failed", failure, final: true }, tookMs: 0, cpuMs: 0, heapBytes: 0 };
  }

  #runOnce(task: Task, atMs: number): Promise<Spent & { result: RunResult }> {
    const states = [this.#states.get(task.key)];
    const { stateVersion = 0 } = this.#options;
    const stateVersions = [this.#others.has(task.key) ? stateVersion : 0];
    const isCaptured = this.#options.live !== true && this.#options.fetch === undefined;
    return new Promise((resolve) => {
      const done = ({ results, tookMs, cpuMs, heapBytes }: BatchResult): void => {
        const result = results[0] ?? { at: "unrun" };
        const spent = { tookMs, cpuMs, heapBytes };
        // What it sent is a view that is good until this returns.
        if (result.at !== "done") resolve({ result, ...spent });
        else {
          const outputs = result.outputs.map((one) => ({ ...one, data: Buffer.from(one.data) }));
          resolve({ result: { ...result, outputs }, ...spent });
        }
      };
      this.#bench.sandbox.run(RUNNER, task.handler, [task], states, done, { atMs, isCaptured, stateVersions });
    });
  }

  #failure({ failure, final }: Extract<Ended, { at: "failed" }>, attempt: number): Failure & { dead: boolean } {
    return { ...failure, dead: final || attempt >= this.#taken.settings.retry.triesMax };
  }

  #unknownUplink(outputs: Outputs): Fault | undefined {
    const { uplinks } = this.#bench.options;
    if (uplinks === undefined) return undefined;
    const unknown = outputs.flatMap(({ to }) => to ?? []).find((name) => !uplinks.includes(name));
    return unknown === undefined ? undefined : new Fault("OUTPUT_UPLINK_UNKNOWN", `no uplink is named "${unknown}"`);
  }

  #sent(outputs: Outputs, topic: string): { outputs: SentOutput[]; published: Published[] } {
    const { settings } = this.#taken;
    const sent: SentOutput[] = [];
    const published: Published[] = [];
    for (const { data, json, to, type, subject, publish } of outputs) {
      const decoded = decode(Buffer.from(data), json);
      if (publish !== undefined) published.push({ ...publish, data: decoded });
      else
        sent.push({
          to: [...new Set(to ?? settings.to)],
          data: decoded,
          type: type ?? settings.type,
          subject: subject ?? subjectOf(topic),
        });
    }
    return { outputs: sent, published };
  }
}

type Spent = Pick<BatchResult, "tookMs" | "cpuMs" | "heapBytes">;
type Ended = Extract<RunResult, { at: "done" | "failed" }>;
type Outputs = Extract<RunResult, { at: "done" }>["outputs"];

function decode(data: Buffer, json: boolean): unknown {
  if (json) return JSON.parse(data.toString()) as unknown;
  return isUtf8(data) ? data.toString() : new Uint8Array(data);
}
