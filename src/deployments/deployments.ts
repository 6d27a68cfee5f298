/**
 * Deployments: from sources in the handlers' folder to versions that run.
 *
 * Mechanism. The folder is scanned at the start and whenever something in it, or in what its files import, changes
 * (watch.ts). A handler whose inputs changed is bundled (build.ts), inspected in an isolate for the config that it exports,
 * its settings are composed (compose.ts), it gets a number (versions.ts), and it is handed to whoever runs it. All this
 * happens one handler after another.
 *
 *   D1  A version that does not build, load, or have valid settings changes nothing: the last good one stays live,
 *       also across a restart, and the fault names file, line and column where they are known.
 *   D2  A number names one content for ever; the same content gets the number that it had. A version's number and
 *       files are on disk before it runs, and that it is live before the next one can be.
 *   D3  `live` is called again for the same version when its settings changed; it resolves before the next change.
 *   D4  The same fault is reported once, not at every look.
 *   D5  Nothing is read that may have no end: what is no regular file is refused by its look, and a build has 10 s.
 *
 * Limits: 1,000 handlers, 8 MB a bundle, 64 KB of exported config, 10 versions kept besides the live one.
 */
import { dirname, join, relative, sep } from "node:path";
import { Fault, messageOf } from "../fault.ts";
import type { Log } from "../log.ts";
import type { Clock } from "../time.ts";
import { buildHandler, shownRoot } from "./build.ts";
import { composeSettings } from "./compose.ts";
import type { Suggest } from "./compose.ts";
import { grantFields } from "./grants.ts";
import type { Grants } from "./grants.ts";
import { loadFault } from "./handler.ts";
import type { LiveHandler, Candidate, Inspection } from "./handler.ts";
import { shownTriggers } from "./shown.ts";
import { hasChanged, looksOf } from "./looks.ts";
import type { HandlerSettings, HandlersSettings } from "./settings.ts";
import { mergeSettings } from "./settings.ts";
import { findSources } from "./sources.ts";
import type { HandlerSource } from "./sources.ts";
import { Versions, hashOf } from "./versions.ts";
import { FolderWatch } from "./watch.ts";

export type { LiveHandler, Candidate, Inspection } from "./handler.ts";

export interface DeploymentsOptions {
  /** The `handlers` section of the config; `dir` is absolute. */
  readonly handlers: HandlersSettings;
  /** Where versions are kept: `<data>/deployments`. Undefined: nothing is kept, and every version is number 0. */
  readonly folder: string | undefined;
  readonly clock: Clock;
  readonly log: Log;
  readonly suggest?: Suggest;
  readonly inspect: (candidate: Candidate) => Promise<Inspection>;
  /** Makes it the one that runs. Rejecting with a Fault leaves the one before it live (D1). */
  readonly live: (handler: LiveHandler) => Promise<void>;
  /** Its source is gone. Says how many tasks wait for it. */
  readonly removed: (name: string) => number;
  /** A version that did not go live. Logged already. */
  readonly failed: (name: string, fault: Fault) => void;
  /** What `failed` told last of the name holds no more, and no version went live for it: its source is as it was, or gone. */
  readonly mended: (name: string) => void;
}

interface Known {
  readonly name: string;
  readonly versions: Versions | undefined;
  /** Number of the version that was live when the gateway ended last, until another one is live. */
  served: number | undefined;
  live: LiveHandler | undefined;
  /** What it uses has changed, and it could not go live with that: the next look tries again, though it is the same. */
  isStale: boolean;
  /** What the live version exported. */
  exported: unknown;
  /** Files that the last build read, or tried to, and how they looked. */
  looks: ReadonlyMap<string, string>;
  fault: Fault | undefined;
}

export class Deployments {
  readonly #options: DeploymentsOptions;
  readonly #known = new Map<string, Known>();
  readonly #root: string;
  #handlers: HandlersSettings;
  #watch: FolderWatch | undefined;
  #work: Promise<void> = Promise.resolve();
  /** Aborted by close(): a build under way is given up. */
  readonly #ending = new AbortController();
  /** Faults of the folder and of names, reported once each. */
  #reported = new Map<string, string>();
  #isOpening = true;
  #deploys = 0;
  #failures = 0;

  private constructor(options: DeploymentsOptions) {
    this.#options = options;
    this.#handlers = options.handlers;
    this.#root = shownRoot(options.handlers.dir);
  }

  /** Resolves when every handler in the folder is live or has failed. */
  static async open(options: DeploymentsOptions): Promise<Deployments> {
    const deployments = new Deployments(options);
    await deployments.scan();
    deployments.#isOpening = false;
    if (options.handlers.watch) {
      deployments.#watch = new FolderWatch((noticed) => void deployments.#queue(() => deployments.#scan(noticed)));
      deployments.#watch.set(deployments.#folders());
    }
    return deployments;
  }

  get handlers(): readonly LiveHandler[] {
    return [...this.#known.values()].flatMap(({ live }) => live ?? []);
  }

  /** Takes on whatever changed. Resolves when it is live or has failed. */
  scan(): Promise<void> {
    return this.#queue(() => this.#scan(true));
  }

  /** New settings from the gateway's config: handlers whose settings change go live once more. `dir` stays. */
  reconfigure(handlers: HandlersSettings): Promise<void> {
    return this.#queue(async () => {
      this.#handlers = { ...handlers, dir: this.#handlers.dir, watch: this.#handlers.watch };
      for (const known of this.#known.values()) {
        // One whose settings were at fault may be well now.
        if (known.fault !== undefined) known.looks = new Map();
        else if (known.live !== undefined) await this.#recompose(known, known.live);
      }
      await this.#scan(true);
    });
  }

  /** Something has changed that handlers of these use: they go live once more, with it; and who could not before. */
  renew(concerns: (handler: LiveHandler) => boolean): Promise<void> {
    return this.#queue(async () => {
      for (const known of this.#known.values()) {
        const { live, exported, isStale } = known;
        if (live === undefined || !(isStale || concerns(live))) continue;
        known.isStale = true;
        try {
          await this.#goLive(known, live, exported);
          if (isStale) this.#mend(known);
        } catch (error) {
          await this.#fail(known, asFault(error, live.file));
        }
      }
    });
  }

  figures(): { readonly live: number; readonly failing: number; readonly deploys: number; readonly failures: number } {
    const known = [...this.#known.values()];
    return {
      live: known.filter(({ live }) => live !== undefined).length,
      failing: known.filter(({ fault }) => fault !== undefined).length,
      deploys: this.#deploys,
      failures: this.#failures,
    };
  }

  /** Gives up a build that is under way. Resolves when everything else that was has ended. */
  async close(): Promise<void> {
    this.#ending.abort();
    this.#watch?.close();
    await this.#work;
  }

  get #closed(): boolean {
    return this.#ending.signal.aborted;
  }

  #queue(work: () => Promise<void>): Promise<void> {
    this.#work = this.#work.then(async () => {
      if (this.#closed) return;
      try {
        await work();
      } catch (error) {
        this.#report("", asFault(error, this.#handlers.dir));
      }
    });
    return this.#work;
  }

  async #scan(noticed: boolean): Promise<void> {
    const { handlers, faults } = await findSources(this.#handlers.dir);
    for (const name of this.#reported.keys()) if (!faults.has(name)) this.#retract(name);
    for (const [name, fault] of faults) this.#report(name, fault);
    const names = new Set([...handlers.map(({ name }) => name), ...faults.keys()]);
    for (const name of this.#known.keys()) if (!names.has(name)) this.#remove(name);
    for (const source of handlers) {
      if (this.#closed) return;
      const known = this.#known.get(source.name) ?? (await this.#meet(source.name));
      // What was missing when it failed is in no list of inputs.
      if ((noticed && known.fault !== undefined) || (await hasChanged(known.looks, source.entry))) {
        await this.#deploy(known, source);
      }
    }
    this.#watch?.set(this.#folders());
  }

  async #meet(name: string): Promise<Known> {
    const { folder } = this.#options;
    const versions = folder === undefined ? undefined : await Versions.open(join(folder, name));
    if (versions?.damage !== undefined)
      this.#options.log.error({ handler: name, fault: versions.damage }, "handler's versions damaged");
    // Later on it says only what this gateway made live itself.
    const served = this.#isOpening ? versions?.liveNumber : undefined;
    const fresh = { live: undefined, isStale: false, exported: undefined, looks: new Map(), fault: undefined };
    const known: Known = { name, versions, served, ...fresh };
    this.#known.set(name, known);
    return known;
  }

  #remove(name: string): void {
    const known = this.#known.get(name);
    this.#known.delete(name);
    if (known === undefined) return;
    if (known.live === undefined) {
      this.#options.mended(name);
      return;
    }
    const waiting = this.#options.removed(name);
    if (waiting === 0) this.#options.log.info({ handler: name }, "handler removed");
    else
      this.#options.log.warn(
        { handler: name, waiting },
        "handler removed, and tasks wait for it: put it back, or drop them with `sluice handlers drop`; else they expire (journal.retain)",
      );
  }

  async #deploy(known: Known, source: HandlerSource): Promise<void> {
    const file = relative(this.#root, source.entry).split(sep).join("/");
    let inputs: readonly string[] = [source.entry, ...known.looks.keys()];
    const before = await looksOf(inputs);
    try {
      const built = await buildHandler(known.name, source.entry, this.#root, { signal: this.#ending.signal });
      inputs = built.inputs;
      const stored = known.versions?.find(hashOf(built));
      const exported = stored?.config ?? (await this.#inspect(known.name, file, built));
      const settings = this.#compose(known.name, file, exported);
      const { version } = stored ??
        (await known.versions?.add(built, exported, file, this.#options.clock.now())) ?? { version: 0 };
      const { code, sourceMap } = built;
      const hasServed = version === known.served;
      const next = { name: known.name, version, code, sourceMap, file, settings, hasServed };
      await this.#goLive(known, next, exported);
      known.fault = undefined;
    } catch (error) {
      // Given up, or failing because the rooms around it close: no news of the handler.
      if (this.#closed) return;
      await this.#fail(known, asFault(error, file));
    }
    // As it was before the build for what was known then: a save during the build is seen at the next look.
    const after = await looksOf(inputs);
    known.looks = new Map([...after].map(([path, look]) => [path, before.get(path) ?? look]));
  }

  async #goLive(known: Known, next: LiveHandler, exported: unknown): Promise<void> {
    if (known.live !== undefined && !known.isStale && isSame(known.live, next)) {
      this.#mend(known);
      return;
    }
    const before = this.#before(known);
    await this.#options.live(next);
    known.live = next;
    known.isStale = false;
    if (!next.hasServed) known.served = undefined;
    known.exported = exported;
    this.#deploys++;
    await known.versions?.setLive(next.version);
    const { name: handler, version, settings } = next;
    const fields = { handler, version, triggers: shownTriggers(settings), ...grantFields(settings, before) };
    this.#options.log.info(fields, "handler live");
  }

  /** What was granted so far: to the version that is live, or was before the gateway ended. */
  #before(known: Known): Grants | undefined {
    if (known.live !== undefined) return known.live.settings;
    const stored = known.versions?.liveEntry;
    if (stored === undefined) return undefined;
    try {
      return this.#compose(known.name, stored.file, stored.config);
    } catch {
      return undefined; // Its settings are none any more.
    }
  }

  /** The live version is what its source says again. */
  #mend(known: Known): void {
    if (known.fault === undefined) return;
    known.fault = undefined;
    this.#options.log.info({ handler: known.name, version: known.live?.version }, "handler mended");
    this.#options.mended(known.name);
  }

  /** D1: says why, and makes sure that the last good version is live. */
  async #fail(known: Known, fault: Fault): Promise<void> {
    const isNews = known.fault?.explain() !== fault.explain();
    known.fault = fault;
    if (known.live === undefined) await this.#fallBack(known);
    if (!isNews) return;
    this.#failures++;
    this.#options.log.error(
      { handler: known.name, fault, live: known.live?.version ?? "none" },
      "handler not taken on",
    );
    this.#options.failed(known.name, fault);
  }

  async #fallBack(known: Known): Promise<void> {
    const good = await known.versions?.live();
    if (good === undefined) return;
    try {
      const { version, code, sourceMap, file, config } = good;
      const settings = this.#compose(known.name, file, config);
      const hasServed = version === known.served;
      const next = { name: known.name, version, code, sourceMap, file, settings, hasServed };
      await this.#goLive(known, next, config);
    } catch (error) {
      this.#options.log.error(
        { handler: known.name, fault: asFault(error, good.file) },
        "last good version not taken on",
      );
    }
  }

  async #recompose(known: Known, live: LiveHandler): Promise<void> {
    try {
      await this.#goLive(
        known,
        { ...live, settings: this.#compose(live.name, live.file, known.exported) },
        known.exported,
      );
    } catch (error) {
      await this.#fail(known, asFault(error, live.file));
    }
  }

  async #inspect(name: string, file: string, built: { code: string; sourceMap: string }): Promise<unknown> {
    const own = this.#handlers.settings[name] ?? {};
    const { timeoutMs, memoryBytes } = mergeSettings(name, [this.#handlers.defaults, own]);
    const { code, sourceMap } = built;
    const inspection = await this.#options.inspect({ name, code, sourceMap, timeoutMs, memoryBytes });
    if (inspection.at === "ready") return inspection.config;
    throw loadFault(inspection.failure, file);
  }

  #compose(name: string, file: string, exported: unknown): HandlerSettings {
    const suggest = this.#options.suggest ?? ((): undefined => undefined);
    return composeSettings({ name, file, exported, gateway: this.#handlers, suggest });
  }

  #report(name: string, fault: Fault): void {
    const text = fault.explain();
    if (this.#reported.get(name) === text) return;
    this.#reported.set(name, text);
    this.#failures++;
    const { log } = this.#options;
    if (fault.code !== "DEPLOY_DIR_UNREADABLE") log.error({ handler: name, fault }, "handler not taken on");
    else if (this.#isOpening) log.warn({ fault }, "no handlers: their folder cannot be read");
    else log.error({ fault }, "the handlers' folder cannot be read any more; what is live goes on");
    this.#options.failed(name, fault);
  }

  /** What was wrong with a name, not with a build of it, is no more: the source is looked at as if for the first time. */
  #retract(name: string): void {
    this.#reported.delete(name);
    if (name === "") this.#options.log.info({ dir: this.#handlers.dir }, "the handlers' folder is read again");
    this.#options.mended(name);
    const known = this.#known.get(name);
    if (known === undefined) return;
    known.fault = undefined;
    known.looks = new Map();
  }

  /** Every folder from which a handler takes something, installed packages aside. */
  #folders(): Set<string> {
    const folders = new Set([this.#handlers.dir]);
    for (const { looks } of this.#known.values()) {
      for (const path of looks.keys()) if (!path.includes(`${sep}node_modules${sep}`)) folders.add(dirname(path));
    }
    return folders;
  }
}

function isSame(a: LiveHandler, b: LiveHandler): boolean {
  return a.version === b.version && a.code === b.code && JSON.stringify(a.settings) === JSON.stringify(b.settings);
}

function asFault(error: unknown, where: string): Fault {
  if (error instanceof Fault) return error;
  return new Fault("DEPLOY_STORE_FAILED", messageOf(error), { where, cause: error });
}
