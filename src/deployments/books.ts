/** What is written down of a handler's rollout, and what has to happen when a version is not live any more. */
import { Fault, messageOf } from "../fault.ts";
import type { Log } from "../log.ts";
import type { Clock } from "../time.ts";
import type { Grants } from "./grants.ts";
import { defined } from "./maker.ts";
import type { By, Maker } from "./maker.ts";
import type { Step, VersionList, Versions } from "./versions.ts";

export interface BooksDoors {
  readonly clock: Clock;
  readonly log: Log;
  /** Where the next dead letter will stand: those of a version that comes now are not before. */
  readonly letterMark: () => number;
  /** Runs the version's dead letters from that mark on once more, on whatever is live now. Says how many they were. */
  readonly takeBack: (name: string, version: number, mark: number) => Promise<number>;
  /** One after another with everything else that changes handlers. */
  readonly queue: (work: () => Promise<void>) => void;
}

export class Books {
  readonly #name: string;
  readonly #versions: Versions | undefined;
  readonly #doors: BooksDoors & { readonly passed: (version: number) => Promise<void> };
  #timer: NodeJS.Timeout | undefined;

  constructor(
    name: string,
    versions: Versions | undefined,
    doors: BooksDoors & { readonly passed: (version: number) => Promise<void> },
  ) {
    this.#name = name;
    this.#versions = versions;
    this.#doors = doors;
  }

  /** What a version failed at that is not live any more, or not tried, runs again on what is. Never throws. */
  async takeBack({ version, mark }: { readonly version: number; readonly mark: number }): Promise<number> {
    try {
      return await this.#doors.takeBack(this.#name, version, mark);
    } catch (error) {
      this.#doors.log.error(
        { handler: this.#name, version, err: messageOf(error) },
        "dead letters were not taken back",
      );
      return 0;
    }
  }

  isWatched(version: number): boolean {
    const list = this.#versions?.list;
    if (list === undefined) return false;
    return (list.live === version && list.probationMs > 0) || list.candidate?.version === version;
  }

  /** Watching has an end, `timeMs` after it began, which was `agoMs` ago (negative); undefined: now. A clock may have been set. */
  watch(version: number, agoMs: number | undefined, timeMs = 0): void {
    clearTimeout(this.#timer);
    if (agoMs === undefined) return;
    const leftMs = Math.min(timeMs, Math.max(0, timeMs + agoMs));
    this.#timer = setTimeout(() => this.#doors.queue(() => this.#doors.passed(version)), leftMs);
    this.#timer.unref();
  }

  /** Durably. */
  async remember(
    change: Partial<VersionList>,
    happened: (Omit<Step, "atMs" | "author"> & By) | undefined,
  ): Promise<void> {
    if (happened === undefined) return await this.#versions?.update(change);
    const { message, author, ...rest } = happened;
    const step = { ...rest, ...defined({ why: rest.why ?? message, author }), atMs: this.#doors.clock.now() };
    await this.#versions?.update(change, step);
  }

  /** What was granted so far: to the version that was live before the gateway ended. */
  grantsBefore(maker: Maker): Grants | undefined {
    const stored = this.#versions?.liveEntry;
    if (stored === undefined) return undefined;
    try {
      return maker.compose(stored, stored.config);
    } catch {
      return undefined; // Its settings are none any more.
    }
  }

  unknown(version: number): Fault {
    const kept = this.#versions?.list.versions.map((each) => each.version).join(", ") ?? "";
    const message =
      version === 0
        ? `there is no version of handler ${this.#name} to go back to`
        : `version ${version} of handler ${this.#name} is not kept; there are: ${kept}`;
    return new Fault("DEPLOY_NO_VERSION", message);
  }

  close(): void {
    clearTimeout(this.#timer);
  }
}
