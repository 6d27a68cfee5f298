/**
 * One handler's rollout: which of its versions is live, which one is tried beside it, and how that changes.
 *
 * Whatever changes is first taken on by those who run it (`live`), then remembered (versions.ts): killed in between, the
 * next start finds what was live before, and takes the change on once more when it comes from the folder.
 *
 *   R1  There is a live version from the first one on that loads, whatever comes after it, until the handler is removed.
 *   R2  A version that comes after another one is on probation, and so is one that is tried; a verdict on any other than
 *       the one that is on probation is too late, and nothing.
 *   R3  What is rolled back stays so across restarts: the folder's contents count as news only when they change.
 */
import { Fault } from "../fault.ts";
import { grantFields } from "./grants.ts";
import { Books } from "./books.ts";
import { isSame } from "./handler.ts";
import type { CandidateHandler, LiveHandler } from "./handler.ts";
import { asFault, Maker } from "./maker.ts";
import type { By, Sources } from "./maker.ts";
import type { Figures, RolloutDoors } from "./rollout-doors.ts";
import { shownTriggers } from "./shown.ts";
import { successionOf } from "./succession.ts";
import { assertComparable, candidateOf, triable } from "./trying.ts";
import { loadDigest, unchanged } from "./unchanged.ts";
import { hashOf } from "./versions.ts";
import type { StoredVersion, VersionList, Versions } from "./versions.ts";

export class Rollout {
  readonly name: string;
  readonly versions: Versions | undefined;
  live: LiveHandler | undefined;
  /** What it uses has changed, and it could not go live with that: the next look tries again, though it is the same. */
  isStale = false;
  /** Files that the last build read, or tried to, and how they looked. */
  looks: ReadonlyMap<string, string> = new Map();
  fault: Fault | undefined;
  readonly #doors: RolloutDoors;
  readonly #maker: Maker;
  readonly #books: Books;
  readonly #figures: Figures;
  /** Number of the version that was live when the gateway ended last, until another one is live. */
  #served: number | undefined;
  #exported: unknown;

  /** `isOpening`: what is stored is what was there when the gateway ended. */
  constructor(name: string, versions: Versions | undefined, doors: RolloutDoors, figures: Figures, isOpening: boolean) {
    this.name = name;
    this.versions = versions;
    this.#doors = doors;
    this.#figures = figures;
    this.#maker = new Maker(name, versions, doors);
    this.#books = new Books(name, versions, { ...doors, passed: (version) => this.passed(version) });
    // Later on it says only what this gateway made live itself.
    this.#served = isOpening ? versions?.liveNumber : undefined;
  }

  // --- new versions

  /** At the start: when its source is as it was when it was built last, what was live goes on. */
  async resume(entry: string): Promise<boolean> {
    const list = this.versions?.list;
    const looks = list === undefined || list.isUploaded ? undefined : await unchanged(list, entry);
    if (looks === undefined || !(await this.restore())) return false;
    this.looks = looks;
    return true;
  }

  /** The source in the folder was built. Throws a Fault when it cannot go live. */
  async build(built: Sources, file: string, source: Pick<VersionList, "source"> = {}): Promise<void> {
    const hash = hashOf(built);
    const list = this.versions?.list;
    // Seen before, and another one was made live since (R3).
    if (list !== undefined && list.folderHash === hash && this.versions?.find(hash)?.version !== list.live) {
      if (this.live !== undefined || (await this.restore())) return;
    }
    await this.#deploy(built, file, {}, { folderHash: hash, isUploaded: false, ...source });
  }

  /** Deployed by the API. Throws a Fault when it cannot go live. */
  async upload(built: Sources, file: string, by: By): Promise<LiveHandler> {
    await this.#deploy(built, file, by, { isUploaded: true });
    return this.live as LiveHandler;
  }

  /** The handler is gone: a version that is kept is live again, without `to` the one that was last. Throws a Fault. */
  async bringBack(to: number | undefined, by: By): Promise<number> {
    const stored = await this.#stored(to ?? this.versions?.lastLive ?? 0);
    await this.#goLive(this.#maker.again(stored), stored.config, by, { isUploaded: true });
    this.mend();
    return stored.version;
  }

  /** Tries a version beside the live one. `share` of the keys, 0: as a shadow. Throws a Fault. */
  async try(built: Sources, file: string, share: number, by: By): Promise<CandidateHandler> {
    const { live, versions } = triable(this);
    const stored = await this.#maker.stored(built, file, by);
    const settings = this.#maker.compose({ ...built, file: stored.file }, stored.config);
    assertComparable(live, { version: stored.version, file, settings });
    const candidate = this.#maker.candidate({ ...stored, ...built }, settings, share);
    await this.#run({ ...live, candidate, probation: undefined });
    const replaced = versions.list.candidate;
    if (replaced !== undefined && replaced.version !== stored.version) await this.#books.takeBack(replaced);
    const entry = { version: stored.version, share, sinceMs: this.#doors.clock.now(), mark: this.#doors.letterMark() };
    await this.#books.remember(
      { candidate: entry },
      { version: stored.version, what: share > 0 ? "canary" : "shadow", ...by },
    );
    this.#books.watch(candidate.version, 0, candidate.probation.timeMs);
    const what =
      share > 0 ? "canary: the version gets a share of the keys" : "shadow: the version runs without effects";
    const fields = { handler: this.name, version: stored.version, beside: live.version, share };
    this.#doors.log.info({ ...fields, ...grantFields(settings, live.settings) }, what);
    return candidate;
  }

  async #deploy(built: Sources, file: string, by: By, change: Partial<VersionList>): Promise<void> {
    const { version, config, file: shownFile } = await this.#maker.stored(built, file, by);
    const settings = this.#maker.compose({ ...built, file }, config);
    const hasServed = version === this.#served;
    await this.#goLive(
      { name: this.name, version, ...built, file: shownFile, settings, hasServed },
      config,
      by,
      change,
    );
    this.mend();
  }

  // --- what is live

  async #goLive(next: LiveHandler, exported: unknown, by: By = {}, change: Partial<VersionList> = {}): Promise<void> {
    const { versions } = this;
    if (this.live !== undefined && !this.isStale && isSame(this.live, next)) {
      await versions?.update(change);
      this.mend();
      return;
    }
    const grantsBefore = this.live?.settings ?? this.#books.grantsBefore(this.#maker);
    const list = versions?.list;
    const last = this.live;
    const nowMs = this.#doors.clock.now();
    const { isNews, before, isWatched, sinceMs, leaving } = successionOf(next, last, versions, nowMs);
    const mark = this.#doors.letterMark();
    const rules = next.settings.probation;
    const probation = sinceMs > 0 ? rules : undefined;
    const candidate = isNews ? undefined : await this.#runWithCandidate({ ...next, probation }, list);
    if (isNews) await this.#run({ ...next, probation, candidate: undefined });
    if (!next.hasServed) this.#served = undefined;
    this.#exported = exported;
    this.#figures.deploys++;
    const rollout = isNews
      ? { live: next.version, before: before === next.version ? 0 : (before ?? 0), probationMs: sinceMs, mark }
      : {};
    try {
      for (const gone of leaving) await this.#books.takeBack(gone);
      await this.#books.remember(
        {
          ...rollout,
          candidate: candidate === undefined ? undefined : list?.candidate,
          loaded: loadDigest(next),
          ...change,
        },
        isNews ? { version: next.version, what: "live", ...by } : undefined,
      );
    } catch (error) {
      // What is not on disk is not live: after a restart it would not be, and nobody would hear its verdict.
      if (last !== undefined) await this.#run(last);
      throw error;
    }
    this.#books.watch(next.version, sinceMs === 0 ? undefined : sinceMs - nowMs, rules?.timeMs);
    const { name: handler, version, settings } = next;
    const fields = { handler, version, triggers: shownTriggers(settings), ...grantFields(settings, grantsBefore) };
    this.#doors.log.info(isWatched ? { ...fields, onProbationAfter: before } : fields, "handler live");
  }

  async #run(next: LiveHandler): Promise<void> {
    await this.#doors.live(next);
    this.live = next;
    this.isStale = false;
  }

  /** What is tried beside it must not keep the live version from running: where it cannot run it is dropped (R1). */
  async #runWithCandidate(
    next: LiveHandler,
    list: Readonly<VersionList> | undefined,
  ): Promise<CandidateHandler | undefined> {
    const entry = list?.candidate;
    try {
      const candidate = await candidateOf(this.#maker, this.versions, this.live);
      await this.#run({ ...next, candidate });
      return candidate;
    } catch (error) {
      if (entry === undefined) throw error;
      await this.#run({ ...next, candidate: undefined });
      const fault = asFault(error, next.file);
      this.#doors.log.error(
        { handler: this.name, dropped: entry.version, fault },
        "what was tried cannot run any more",
      );
      await this.#books.takeBack(entry);
      await this.#books.remember(
        { candidate: undefined },
        { version: entry.version, what: "dropped", why: fault.message },
      );
      return undefined;
    }
  }

  /** The version that was live last is live again. False when there is none that can be. */
  async restore(): Promise<boolean> {
    const { versions } = this;
    const stored = versions === undefined ? undefined : await versions.read(versions.list.live);
    if (stored === undefined) return false;
    try {
      const again = this.#maker.again(stored);
      const loadsLater = versions?.list.loaded === loadDigest(again);
      await this.#goLive({ ...again, loadsLater }, stored.config);
      return true;
    } catch (error) {
      const fault = asFault(error, stored.file);
      this.#doors.log.error({ handler: this.name, fault }, "last good version not taken on");
      this.fault = fault;
      this.#doors.failed(this.name, fault);
      return false;
    }
  }

  /** Loads what was not loaded at the start. */
  async warm(): Promise<void> {
    const { live } = this;
    if (live?.loadsLater !== true) return;
    this.live = { ...live, loadsLater: false };
    const fault = await this.#doors.warm(live);
    if (fault !== undefined) await this.fail(fault);
  }

  /** The gateway's settings have changed, or what the handler uses. */
  async renew(): Promise<void> {
    const { live } = this;
    if (live === undefined) return;
    try {
      const { probation: _, candidate: __, loadsLater: ___, ...own } = live;
      await this.#goLive({ ...own, settings: this.#maker.compose(live, this.#exported) }, this.#exported);
    } catch (error) {
      await this.fail(asFault(error, live.file));
    }
  }

  // --- verdicts, and what people decide

  /** The version has run as it should. */
  async passed(version: number): Promise<void> {
    const { live, versions } = this;
    if (live === undefined || versions === undefined || !this.#books.isWatched(version)) return;
    this.#doors.log.info({ handler: this.name, version }, "handler has passed its probation");
    this.#doors.decided(this.name, { what: "passed", version });
    if (version !== live.version) return; // A candidate goes on until somebody decides.
    this.#books.watch(version, undefined);
    await this.#run({ ...live, probation: undefined });
    await this.#books.remember({ probationMs: 0 }, { version, what: "passed" });
  }

  /** The version has failed its probation: the one before is live again, or what was tried is dropped. */
  async rejected(version: number, reason: string): Promise<void> {
    if (!this.#books.isWatched(version)) {
      // Whoever gave the verdict hands nothing out until it is told what to run.
      if (this.live?.version === version) await this.#run({ ...this.live, probation: undefined });
      return;
    }
    if (version !== this.live?.version) await this.#dropCandidate({ message: reason });
    else await this.rollBack(this.versions?.list.before ?? 0, { message: reason });
  }

  /** Makes an older version live again; without `to` the one before, or what is tried beside it is dropped. */
  async rollBack(to: number | undefined, by: By): Promise<number> {
    const { versions, live } = this;
    if (versions === undefined || live === undefined) throw this.#books.unknown(to ?? 0);
    if (to === undefined && versions.list.candidate !== undefined) return await this.#dropCandidate(by);
    const target = to ?? versions.list.before;
    if (target === live.version) throw new Fault("DEPLOY_SAME", `version ${target} of handler ${this.name} is live`);
    const { probationMs, before, candidate, mark } = versions.list;
    try {
      const stored = await this.#stored(target);
      // Only what it replaced is known to be good.
      await this.#run({ ...this.#maker.again(stored), hasServed: target === before });
      this.#exported = stored.config;
    } catch (error) {
      // Whatever is wrong with it, what runs goes on.
      const fault = asFault(error, "");
      this.#doors.log.error({ handler: this.name, version: live.version, fault }, "not rolled back");
      await this.#run({ ...live, probation: undefined });
      throw error;
    }
    this.#books.watch(target, undefined);
    this.#figures.rollbacks++;
    const { message: why = "asked for" } = by;
    // Before it is remembered: killed in between, the version is on probation again, and all this happens once more.
    let again = probationMs > 0 ? await this.#books.takeBack({ version: live.version, mark }) : 0;
    if (candidate !== undefined) again += await this.#books.takeBack(candidate);
    await this.#books.remember(
      { live: target, before: 0, probationMs: 0, candidate: undefined },
      { version: live.version, what: "rolled-back", why, author: by.author },
    );
    this.#doors.log.warn(
      { handler: this.name, from: live.version, version: target, why, again },
      "handler rolled back",
    );
    const message = `version ${live.version} was rolled back to version ${target}: ${why}`;
    this.fault = new Fault("HANDLER_ROLLED_BACK", message, { where: live.file });
    this.#doors.failed(this.name, this.fault);
    return target;
  }

  /** What is tried beside the live version becomes the live one. */
  async promote(by: By): Promise<LiveHandler> {
    const candidate = this.live?.candidate;
    if (candidate === undefined) {
      throw new Fault("DEPLOY_NO_CANDIDATE", `no version of handler ${this.name} is tried beside the live one`);
    }
    const { share: _, probation: __, ...next } = candidate;
    const exported = this.versions?.entry(candidate.version)?.config;
    await this.#goLive({ ...next, hasServed: false }, exported, by);
    this.mend();
    return this.live as LiveHandler;
  }

  /** It is to be no more. What is stored stays, and a later deploy goes on from it. */
  async remove(by: By): Promise<void> {
    const { live } = this;
    this.close();
    const gone = { live: 0, before: 0, probationMs: 0, candidate: undefined, isUploaded: false };
    await this.#books.remember(gone, { version: live?.version ?? 0, what: "removed", ...by });
  }

  async #dropCandidate(by: By): Promise<number> {
    const { live, versions } = this;
    const candidate = versions?.list.candidate;
    if (live === undefined || candidate === undefined) throw this.#books.unknown(0);
    await this.#run({ ...live, candidate: undefined });
    this.#books.watch(candidate.version, undefined);
    const { message: why = "asked for" } = by;
    const again = await this.#books.takeBack(candidate);
    const step = { version: candidate.version, what: "dropped", why, author: by.author } as const;
    await this.#books.remember({ candidate: undefined }, step);
    const fields = { handler: this.name, dropped: candidate.version, version: live.version, why, again };
    this.#doors.log.warn(fields, "what was tried beside the live version is dropped");
    this.#doors.decided(this.name, { what: "dropped", version: candidate.version, why });
    return live.version;
  }

  // --- when something is wrong

  /** D1: says why, and makes sure that the last good version is live. */
  async fail(fault: Fault): Promise<void> {
    const isNews = this.fault?.explain() !== fault.explain();
    this.fault = fault;
    if (this.live === undefined) await this.restore();
    this.fault = fault;
    if (!isNews) return;
    this.#figures.failures++;
    const live = this.live?.version ?? "none";
    this.#doors.log.error({ handler: this.name, fault, live }, "handler not taken on");
    this.#doors.failed(this.name, fault);
  }

  /** The live version is what its source says again. */
  mend(): void {
    if (this.fault === undefined) return;
    this.fault = undefined;
    this.#doors.log.info({ handler: this.name, version: this.live?.version }, "handler mended");
    this.#doors.mended(this.name);
  }

  close(): void {
    this.#books.close();
  }

  /** A version that is kept, as it would run now. Throws a Fault. */
  async kept(version: number): Promise<LiveHandler> {
    return this.live?.version === version ? this.live : this.#maker.again(await this.#stored(version));
  }

  async #stored(version: number): Promise<StoredVersion> {
    const stored = await this.versions?.read(version);
    if (stored === undefined) throw this.#books.unknown(version);
    return stored;
  }
}
