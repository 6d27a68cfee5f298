/** What the rooms do, as entries of the stream. */
import type { DeployEntry, Level, OutcomeEntry, UplinkEntry } from "../control/stream-entry.ts";
import type { Stream } from "../control/stream.ts";
import type { LiveHandler } from "../deployments/deployments.ts";
import type { Decision } from "../deployments/rollout-doors.ts";
import { eventId, eventRecord } from "../event.ts";
import type { Fault } from "../fault.ts";
import type { Failure, Output, Task } from "../task.ts";
import type { Ended, Outcomes } from "../tasks/outcomes.ts";

/** A topic or key may have 64 KB, a failure 4 KB and its stack more: `sluice dead show` has all of it. */
const SHOWN_CHARS_MAX = 200;
const MESSAGE_CHARS_MAX = 1000;
const STACK_CHARS_MAX = 2000;
const DIGITS = 3;

export class Telling implements Outcomes {
  readonly #stream: Stream;
  readonly #journalId: string;
  /** By handler, what was told last. */
  readonly #told = new Map<string, string>();

  constructor(stream: Stream, journalId: string) {
    this.#stream = stream;
    this.#journalId = journalId;
  }

  get isWatched(): boolean {
    return this.#stream.isWatched;
  }

  log(
    line: { readonly handler: string; readonly version: number; readonly level: Level; readonly message: string },
    task: Task | undefined,
  ): void {
    if (!this.#stream.takes) return;
    this.#stream.tell({ at: "log", ...line, ...(task === undefined ? {} : this.#about(task)) });
  }

  done({ handler, version, task, ms, status }: Ended, { length: outputs }: readonly Output[]): void {
    this.#stream.tell({ at: "outcome", handler, version, status, ...timeOf(ms), outputs, ...this.#about(task) });
  }

  failed(
    { handler, version, task, ms, status }: Ended,
    { code, message, stack }: Failure,
    { tries, letter }: { readonly tries: number; readonly letter: string | undefined },
  ): void {
    if (!this.#stream.takes) return;
    const failure: NonNullable<OutcomeEntry["failure"]> = {
      code,
      message: shortened(message, MESSAGE_CHARS_MAX),
      ...(stack === undefined ? {} : { stack: shortened(stack, STACK_CHARS_MAX) }),
    };
    const died = letter === undefined ? {} : { letter };
    const about = this.#about(task);
    this.#stream.tell({ at: "outcome", handler, version, status, ...timeOf(ms), tries, failure, ...died, ...about });
  }

  // --- versions

  /** Settings go live too, and are no news. */
  live({ name: handler, version, candidate }: LiveHandler): void {
    const told = `${version} ${candidate?.version} ${candidate?.share}`;
    const before = this.#told.get(handler);
    if (before === told) return;
    this.#told.set(handler, told);
    if (candidate !== undefined) {
      const { version: tried, share } = candidate;
      this.#deploy({ handler, what: share > 0 ? "canary" : "shadow", version: tried, ...(share > 0 ? { share } : {}) });
    } else if (before?.startsWith(`${version} `) !== true) this.#deploy({ handler, what: "live", version });
  }

  decided(handler: string, { what, version, why }: Decision): void {
    const message = why === undefined ? {} : { message: shortened(why, MESSAGE_CHARS_MAX) };
    this.#deploy({ handler, what, version, ...message });
  }

  /** Why the newest build is not live, or the version before is live again. */
  refused(handler: string, { code, message }: Fault): void {
    const what = code === "HANDLER_ROLLED_BACK" ? "rolled-back" : "failed";
    this.#deploy({ handler, what, message: `${code}: ${shortened(message, MESSAGE_CHARS_MAX)}` });
  }

  removed(handler: string): void {
    if (this.#told.delete(handler)) this.#deploy({ handler, what: "removed" });
  }

  #deploy(entry: Omit<DeployEntry, "at" | "time">): void {
    this.#stream.tell({ at: "deploy", ...entry });
  }

  uplink(
    uplink: string,
    what: UplinkEntry["what"],
    waiting: number,
    why: { code?: string; message?: string } = {},
  ): void {
    this.#stream.tell({ at: "uplink", uplink, what, waiting, ...why });
  }

  #about(task: Task): {
    readonly event: string;
    readonly topic: string;
    readonly key: string;
    readonly device?: string;
  } {
    const { page, at, seq, key } = task;
    const device = eventRecord.device(page, at);
    return {
      event: eventId(this.#journalId, seq, eventRecord.lineage(page, at)),
      topic: shortened(eventRecord.topic(page, at), SHOWN_CHARS_MAX),
      key: shortened(key, SHOWN_CHARS_MAX),
      ...(device === "" ? {} : { device }),
    };
  }
}

function timeOf(ms: number | undefined): { readonly ms?: number } {
  return ms === undefined ? {} : { ms: Number(ms.toPrecision(DIGITS)) };
}

function shortened(text: string, charsMax: number): string {
  return text.length > charsMax ? `${text.slice(0, charsMax - 1)}…` : text;
}
