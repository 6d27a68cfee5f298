/** The versions that runners may be given: what each is made of, and what all of them together may take and must not say. */
import type { Fetch } from "../fetch.ts";
import type { Task } from "../task.ts";
import { guestOf, limitsOf } from "./bundle.ts";
import type { HandlerBundle } from "./bundle.ts";
import { noFetch } from "./fetching.ts";
import type { Version } from "./in-flight.ts";
import { withoutSecrets } from "./loads.ts";
import { redaction } from "./redaction.ts";
import type { Redact } from "./redaction.ts";
import type { LogLevel } from "./results.ts";
import type { SandboxSettings } from "./settings.ts";
import { Stacks } from "./stacks.ts";

export interface LoadedVersion extends Version {
  readonly bundle: HandlerBundle;
  readonly redact: Redact;
}

export interface VersionsOptions {
  readonly settings: SandboxSettings;
  readonly journalId: string;
  readonly gatewayId: string;
  /** A line that a handler logged; `task` when one was running. */
  readonly onLog: (handler: string, version: number, level: LogLevel, message: string, task: Task | undefined) => void;
  /** Makes the requests of handlers. Without it none is made. */
  readonly fetch?: Fetch;
}

export interface VersionsDoors {
  /** Texts of the web's globals, by the name in api/web.ts. */
  readonly webCode: (name: string) => Promise<string>;
  /** What runners may take from now on. */
  readonly allow: (rssBytesMax: number) => void;
  /** The handler did not log so many lines, for they were too many. */
  readonly dropped: (bundle: HandlerBundle, lines: number) => void;
}

/** A runner without handlers, and what a garbage collector leaves lying about. */
const RUNNER_RSS_BYTES = 128 * 1024 * 1024;
const ISOLATE_RSS_BYTES = 5 * 1024 * 1024;

export class Versions {
  readonly #options: VersionsOptions;
  readonly #doors: VersionsDoors;
  readonly #bySerial = new Map<number, LoadedVersion>();
  #lastSerial = 0;

  constructor(options: VersionsOptions, doors: VersionsDoors) {
    this.#options = options;
    this.#doors = doors;
    doors.allow(this.rssBytesMax);
  }

  /** Runners may have it from now on. `makesRequests`: whether its fetches are made; where not, they fail. */
  async add(bundle: HandlerBundle, makesRequests: boolean): Promise<LoadedVersion> {
    const version = await this.#made(bundle, makesRequests);
    this.#bySerial.set(version.serial, version);
    this.#doors.allow(this.rssBytesMax);
    return version;
  }

  has({ serial }: Version): boolean {
    return this.#bySerial.has(serial);
  }

  delete({ serial }: Version): void {
    this.#bySerial.delete(serial);
    this.#doors.allow(this.rssBytesMax);
  }

  /** What all may have, or what the largest single handler was promised; and what idle isolates take. */
  get rssBytesMax(): number {
    let largest = 0;
    let isolates = 0;
    for (const { guest } of this.#bySerial.values()) {
      largest = Math.max(largest, guest.memoryBytes);
      isolates += guest.concurrency;
    }
    const shared = Math.max(this.#options.settings.runnerMemoryMax, largest + RUNNER_RSS_BYTES);
    return shared + isolates * ISOLATE_RSS_BYTES;
  }

  /** Without the secrets of any: which handler's a text is is not known. */
  redacted(text: string): string {
    let redacted = text;
    for (const { redact } of this.#bySerial.values()) redacted = redact(redacted);
    return redacted;
  }

  async #made(bundle: HandlerBundle, makesRequests: boolean): Promise<LoadedVersion> {
    const { name, settings } = bundle;
    const { onLog, fetch = noFetch } = this.#options;
    const stacks = new Stacks(bundle.sourceMap);
    const limits = limitsOf(bundle);
    const redact = redaction(settings.secrets ?? {}, limits.logCharsMax);
    const guest = await guestOf(bundle, this.#options, this.#doors.webCode);
    return {
      serial: ++this.#lastSerial,
      bundle,
      guest,
      redact,
      asker: {
        handler: name,
        grants: settings.fetch ?? [],
        limits: { ...limits, timeoutMs: settings.timeoutMs },
        fetch: makesRequests ? fetch : noFetch,
      },
      reader: {
        failure: (failure) => stacks.map(withoutSecrets(failure, redact)),
        log: (level, message, task) => onLog(name, bundle.version, level, redact(message), task),
        uplink: redact,
        dropped: (lines, task) => {
          this.#doors.dropped(bundle, lines);
          const text = `${lines} log lines dropped: more than ${limits.logLinesPerSecond}, or ${limits.logBytesPerSecond} bytes, a second, or too many of one event`;
          onLog(name, bundle.version, "warn", text, task);
        },
        limits,
      },
    };
  }
}
