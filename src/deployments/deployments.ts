/**
 * Deployments: from sources in the handlers' folder to versions that run.
 *
 * Mechanism. The folder is scanned at the start and whenever something in it, or in what its files import, changes
 * (watch.ts). A handler whose inputs changed is bundled (build.ts), inspected in an isolate for the config that it exports,
 * its settings are composed (compose.ts), it gets a number (versions.ts), and it is handed to whoever runs it; what comes
 * by the API goes the same way from there on. Which version is live and which is tried is rollout.ts. All this happens
 * one handler after another.
 *
 *   D1  A version that does not build, load, or have valid settings changes nothing: the last good one stays live,
 *       also across a restart, and the fault names file, line and column where they are known.
 *   D2  A number names one content for ever; the same content gets the number that it had. A version's number and
 *       files are on disk before it runs, and that it is live before the next one can be.
 *   D3  `live` is called again for the same version when its settings changed; it resolves before the next change.
 *   D4  The same fault is reported once, not at every look.
 *   D5  Nothing is read that may have no end: what is no regular file is refused by its look, and a build has 10 s. Nor is
 *       anything of the data folder: the admin's token, and other handlers' state.
 *   D6  One look at the folder at the most waits its turn, however long others take: deploys wait for no more than that.
 *
 * Limits: 1,000 handlers, 8 MB a bundle, 64 KB of exported config, 10 versions kept besides the live one; those of the 100
 * handlers that were removed last.
 */
import { readdir } from "node:fs/promises";
import { dirname, join, relative, sep } from "node:path";
import { Fault } from "../fault.ts";
import { sleep } from "../time.ts";
import { buildHandler, checkSize, checkText, shownRoot } from "./build.ts";
import { FolderFaults } from "./folder-faults.ts";
import { forgetGone, GONE_MAX, versionsOfGone } from "./gone.ts";
import type { LiveHandler, Deployed, Upload } from "./handler.ts";
import { hasChanged, looksOf } from "../looks.ts";
import { asFault } from "./maker.ts";
import type { DeploymentsOptions } from "./options.ts";
import { Rollout } from "./rollout.ts";
import type { By } from "./maker.ts";
import type { Figures, RolloutDoors } from "./rollout-doors.ts";
import { Patience } from "./patience.ts";
import { placing } from "./places.ts";
import type { HandlersSettings } from "./settings.ts";
import { findSources, foldersOf, HANDLERS_MAX, isHandlerName } from "./sources.ts";
import type { HandlerSource } from "./sources.ts";
import { remembered } from "./unchanged.ts";
import { Versions } from "./versions.ts";
import type { VersionList } from "./versions.ts";
import { FolderWatch } from "./watch.ts";
import { Work } from "./work.ts";

export type { LiveHandler, Candidate, Deployed, Inspection } from "./handler.ts";
export type { DeploymentsOptions } from "./options.ts";

export class Deployments {
  readonly #options: DeploymentsOptions;
  readonly #known = new Map<string, Rollout>();
  readonly #root: string;
  #handlers: HandlersSettings;
  #watch: FolderWatch | undefined;
  readonly #work = new Work((error) => this.#faults.report("", asFault(error, this.#handlers.dir), this.#isOpening));
  readonly #faults: FolderFaults;
  #isOpening = true;
  readonly #patience: Patience;
  /** Handlers that were removed since the start. */
  #gone = 0;
  readonly #figures: Figures = { deploys: 0, failures: 0, rollbacks: 0 };
  readonly #doors: RolloutDoors;

  private constructor(options: DeploymentsOptions) {
    this.#options = options;
    this.#handlers = options.handlers;
    this.#root = shownRoot(options.handlers.dir);
    this.#patience = new Patience(options.clock);
    this.#faults = new FolderFaults(options, this.#figures);
    const { clock, log, inspect, failed, mended, takeBack, letterMark } = options;
    this.#doors = {
      ...{ clock, log, inspect, failed, mended, takeBack, letterMark },
      live: placing(options.live, () => this.#handlers),
      suggest: options.suggest ?? ((): undefined => undefined),
      warm: options.warm ?? (() => Promise.resolve(undefined)),
      decided: options.decided ?? ((): undefined => undefined),
      handlers: () => this.#handlers,
      queue: (work) => void this.#work.queue(work),
    };
  }

  /** Resolves when every handler in the folder is live or has failed. What ran before the start is loaded after that. */
  static async open(options: DeploymentsOptions): Promise<Deployments> {
    const deployments = new Deployments(options);
    await deployments.scan();
    await deployments.#work.queue(() => deployments.#meetUploaded());
    deployments.#forgetGone();
    deployments.#isOpening = false;
    if (options.handlers.watch) {
      deployments.#watch = new FolderWatch((noticed) => deployments.#work.queue(() => deployments.#scan(noticed)));
      deployments.#watch.set(foldersOf(options.handlers.dir, deployments.#known.values()));
    }
    if (deployments.#patience.hasHurried) void deployments.scan();
    void deployments.#warmUp();
    return deployments;
  }

  get handlers(): readonly LiveHandler[] {
    return [...this.#known.values()].flatMap(({ live }) => live ?? []);
  }

  /** Takes on whatever changed. Resolves when it is live or has failed. */
  scan(): Promise<void> {
    return this.#work.queue(() => this.#scan(true));
  }

  /** New settings from the gateway's config: handlers whose settings change go live once more. `dir` stays. */
  reconfigure(handlers: HandlersSettings): Promise<void> {
    return this.#work.queue(async () => {
      this.#handlers = { ...handlers, dir: this.#handlers.dir, watch: this.#handlers.watch };
      for (const known of this.#known.values()) {
        // One whose settings were at fault may be well now.
        if (known.fault !== undefined && known.fault.code !== "HANDLER_ROLLED_BACK") known.looks = new Map();
        else await known.renew();
        if (known.live === undefined && known.versions?.list.isUploaded === true && (await known.restore()))
          known.mend();
      }
      await this.#scan(true);
    });
  }

  /** Something has changed that handlers of these use: they go live once more, with it; and who could not before. */
  renew(concerns: (handler: LiveHandler) => boolean): Promise<void> {
    return this.#work.queue(async () => {
      for (const known of this.#known.values()) {
        const { live, isStale } = known;
        if (live === undefined || !(isStale || concerns(live))) continue;
        known.isStale = true;
        await known.renew();
        if (isStale && !known.isStale) known.mend();
      }
    });
  }

  // --- what the API asks for

  /** Takes a bundle on. Throws a Fault and changes nothing when it cannot go live, or be tried. */
  deploy(upload: Upload): Promise<Deployed> {
    return this.#work.ask(async () => {
      const { name, code, sourceMap, file, share, author, message } = upload;
      if (!isHandlerName(name)) throw new Fault("DEPLOY_NAME_INVALID", `"${name}" cannot be a handler's name`);
      checkSize(code, sourceMap, file);
      checkText(upload, file);
      return await this.#with(name, async (known) => {
        const before = known.live?.version;
        if (share !== undefined) {
          const { version } = await known.try({ code, sourceMap }, file, share, { author, message });
          return { version, at: share > 0 ? "canary" : "shadow", before };
        }
        const { version } = await known.upload({ code, sourceMap }, file, { author, message });
        return { version, at: "live", before: before === version ? undefined : before };
      });
    });
  }

  /** What is tried beside the live version becomes the live one. Throws a Fault. */
  promote(name: string, by: By): Promise<Deployed> {
    return this.#work.ask(async () => {
      const known = this.#find(name);
      const before = known.live?.version;
      const { version } = await known.promote(by);
      return { version, at: "live", before };
    });
  }

  /**
   * An older version is live again; without a number the one before, or what is tried is dropped. Of a handler that is gone
   * a kept one is, without a number the last that was. Returns what is live.
   */
  rollBack(name: string, version: number | undefined, by: By): Promise<number> {
    return this.#work.ask(async () => {
      if (this.#known.get(name)?.live === undefined) {
        await this.#goneVersions(name);
        return await this.#with(name, (gone) => gone.bringBack(version, by));
      }
      const known = this.#find(name);
      await known.versions?.assertWritable(); // Refused, nothing has changed.
      return await known.rollBack(version, by);
    });
  }

  /** Takes a handler out of service that the API has deployed. Returns how many tasks wait for it. */
  remove(name: string, by: By): Promise<number> {
    return this.#work.ask(async () => {
      const known = this.#find(name);
      if (known.versions?.list.isUploaded !== true) {
        const message = `handler ${name} lies in the handlers' folder`;
        throw new Fault("DEPLOY_IN_FOLDER", message, { where: known.live?.file ?? name });
      }
      await known.remove(by);
      const waiting = this.#remove(name);
      await this.#scan(true); // The folder may have a source of it.
      return waiting;
    });
  }

  /** Of a handler that runs, or is gone; live is what runs, whatever could be written down. Throws CONTROL_NOT_FOUND. */
  async versions(name: string): Promise<Readonly<VersionList>> {
    const { live, versions } = this.#known.get(name) ?? {};
    if (live === undefined) return { ...(await this.#goneVersions(name)).list, live: 0 };
    if (versions === undefined) throw new Fault("CONTROL_NOT_FOUND", "no versions are kept here");
    return { ...versions.list, live: live.version };
  }

  /** A version that is kept, as it would run now; without a number the live one. Throws a Fault. */
  async kept(name: string, version: number | undefined): Promise<LiveHandler> {
    const known = this.#find(name);
    return await known.kept(version ?? known.live?.version ?? 0);
  }

  /** Someone who runs versions says how one on probation does. */
  judged(
    name: string,
    version: number,
    verdict: { readonly at: "passed" } | { readonly at: "rejected"; readonly reason: string },
  ): void {
    void this.#work.queue(async () => {
      const known = this.#known.get(name);
      if (verdict.at === "passed") await known?.passed(version);
      else await known?.rejected(version, verdict.reason);
    });
  }

  figures(): Readonly<Figures> & { readonly live: number; readonly failing: number } {
    const known = [...this.#known.values()];
    return {
      live: known.filter(({ live }) => live !== undefined).length,
      failing: known.filter(({ fault }) => fault !== undefined).length,
      ...this.#figures,
    };
  }

  /** Gives up a build that is under way. Resolves when everything else that was has ended. */
  async close(): Promise<void> {
    const ended = this.#work.end();
    this.#watch?.close();
    for (const known of this.#known.values()) known.close();
    await ended;
  }

  #find(name: string): Rollout {
    const known = this.#known.get(name);
    if (known?.live === undefined) throw notFound(name);
    return known;
  }

  /** Of one that is not live. */
  async #goneVersions(name: string): Promise<Versions> {
    const gone = this.#known.get(name)?.versions ?? (await versionsOfGone(this.#options.folder, name));
    if (gone === undefined || gone.list.versions.length === 0) throw notFound(name);
    return gone;
  }

  /** What has failed leaves no handler behind that was not there. */
  async #with<Result>(name: string, work: (known: Rollout) => Promise<Result>): Promise<Result> {
    const isNew = !this.#known.has(name);
    if (isNew && this.#known.size >= HANDLERS_MAX) {
      throw new Fault("DEPLOY_TOO_MANY", `there are more than ${HANDLERS_MAX} handlers`);
    }
    const known = this.#known.get(name) ?? (await this.#meet(name));
    const wasLive = known.live !== undefined;
    try {
      return await work(known);
    } catch (error) {
      if (isNew) this.#known.delete(name);
      if (!wasLive) this.#withdraw(known);
      throw error;
    }
  }

  /** One after another, and no more than half of the time: those whose events come meanwhile are loaded for these. */
  async #warmUp(): Promise<void> {
    for (const known of [...this.#known.values()]) {
      if (this.#work.isOver) return;
      const startMs = performance.now();
      await this.#work.queue(() => known.warm());
      await sleep(performance.now() - startMs);
    }
  }

  async #scan(noticed: boolean): Promise<void> {
    const { handlers, faults } = await findSources(this.#handlers.dir);
    for (const name of this.#faults.names) if (!faults.has(name)) this.#retract(name);
    for (const [name, fault] of faults) this.#faults.report(name, fault, this.#isOpening);
    const names = new Set([...handlers.map(({ name }) => name), ...faults.keys()]);
    for (const [name, { versions }] of this.#known) {
      if (!names.has(name) && versions?.list.isUploaded !== true) this.#remove(name);
    }
    for (const source of handlers) {
      if (this.#work.isOver) return;
      const known = this.#known.get(source.name) ?? (await this.#meet(source.name));
      if (this.#isOpening && (await known.resume(source.entry))) continue;
      if (this.#patience.isOver(known, noticed) || (await hasChanged(known.looks, source.entry))) {
        await this.#deploy(known, source);
      }
    }
    this.#watch?.set(foldersOf(this.#handlers.dir, this.#known.values()));
  }

  async #meet(name: string): Promise<Rollout> {
    const { folder, log } = this.#options;
    const versions = folder === undefined ? undefined : await Versions.open(join(folder, name));
    if (versions?.damage !== undefined)
      log.error({ handler: name, fault: versions.damage }, "handler's versions damaged");
    const known = new Rollout(name, versions, this.#doors, this.#figures, this.#isOpening);
    this.#known.set(name, known);
    return known;
  }

  /** Handlers that the API has deployed, and of which there is no source in the folder. */
  async #meetUploaded(): Promise<void> {
    const { folder } = this.#options;
    const names: readonly string[] = folder === undefined ? [] : await readdir(folder).catch((): string[] => []);
    for (const name of names.filter((each) => isHandlerName(each) && !this.#known.has(each)).toSorted()) {
      const known = await this.#meet(name);
      // One that cannot go live now may when the config is mended.
      if (known.versions?.list.isUploaded === true) await known.restore();
      else this.#known.delete(name);
    }
  }

  #remove(name: string): number {
    const known = this.#known.get(name);
    this.#known.delete(name);
    if (known === undefined) return 0;
    known.close();
    if (known.live === undefined) {
      this.#options.mended(name);
      return 0;
    }
    const waiting = this.#options.removed(name);
    if (++this.#gone % GONE_MAX === 0) this.#forgetGone();
    if (waiting === 0) this.#options.log.info({ handler: name }, "handler removed");
    else
      this.#options.log.warn(
        { handler: name, waiting },
        "handler removed, and tasks wait for it: put it back, or drop them with `sluice handlers drop`; else they expire (journal.retain)",
      );
    return waiting;
  }

  #forgetGone(): void {
    const { folder, log } = this.#options;
    if (folder !== undefined) void this.#work.queue(() => forgetGone(folder, (name) => this.#known.has(name), log));
  }

  /** It may run already where that could not be remembered: after a restart it would not. */
  #withdraw(known: Rollout): void {
    known.live = undefined;
    this.#options.removed(known.name);
  }

  async #deploy(known: Rollout, source: HandlerSource): Promise<void> {
    const file = relative(this.#root, source.entry).split(sep).join("/");
    const startMs = this.#options.clock.now();
    const begunMs = this.#options.clock.monotonic();
    const isFirst = known.live === undefined;
    let looks = await looksOf([source.entry, ...known.looks.keys()]);
    try {
      const built = await buildHandler(known.name, source.entry, this.#root, {
        signal: this.#work.ending,
        timeoutMs: this.#patience.buildMs(this.#isOpening),
        ...(this.#options.folder === undefined ? {} : { data: dirname(this.#options.folder) }),
      });
      // As it was before the build for what was known then: a save during the build is seen at the next look.
      const after = await looksOf(built.inputs);
      looks = new Map([...after].map(([path, look]) => [path, looks.get(path) ?? look]));
      await known.build(built, file, remembered(looks, startMs));
    } catch (error) {
      // Given up, or failing because the rooms around it close: no news of the handler.
      if (this.#work.isOver) return;
      const fault = asFault(error, file);
      this.#patience.failed(known, fault, {
        tookMs: this.#options.clock.monotonic() - begunMs,
        isOpening: this.#isOpening,
      });
      if (isFirst && known.live !== undefined) this.#withdraw(known);
      await known.fail(fault);
    }
    known.looks = looks;
  }

  /** What was wrong with a name, not with a build of it, is no more: the source is looked at as if for the first time. */
  #retract(name: string): void {
    this.#faults.retract(name, this.#handlers.dir);
    const known = this.#known.get(name);
    if (known === undefined) return;
    known.fault = undefined;
    known.looks = new Map();
  }
}

function notFound(name: string): Fault {
  return new Fault("CONTROL_NOT_FOUND", `there is no handler ${name}`);
}
