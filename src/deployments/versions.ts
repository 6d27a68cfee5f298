/**
 * The versions of one handler, on disk: `<folder>/versions.json`, and `<n>.js` and `<n>.js.map` for each kept one. The
 * list says as well which of them is live, which one is tried beside it, and how it came to that.
 *
 * A version's number stands in outcomes, so it is durable before it runs, and a number is never given twice, even when
 * the list is damaged: then it is set aside, and numbering goes on above every file that is there.
 */
import { createHash } from "node:crypto";
import { mkdir, open, readdir, readFile, rename, rm, stat, utimes } from "node:fs/promises";
import { dirname, join } from "node:path";
import { z } from "zod";
import { Fault, messageOf } from "../fault.ts";
import type { Build } from "./build.ts";

const entry = z.object({
  version: z.int().min(1),
  hash: z.string(),
  builtMs: z.number(),
  /** The config that the module exported, as it was. */
  config: z.json(),
  /** Where its source began, as shown to people. */
  file: z.string(),
  /** Who deployed it, and why, when somebody said so; of what lies in the handlers' folder nobody did. */
  author: z.string().optional(),
  message: z.string().optional(),
});
const number = z.int().min(0);
const step = z.object({
  atMs: z.number(),
  version: number,
  what: z.enum(["live", "passed", "rolled-back", "canary", "shadow", "dropped", "removed"]),
  why: z.string().optional(),
  author: z.string().optional(),
});
const candidate = z.object({
  version: number,
  share: z.number().min(0).max(1),
  sinceMs: z.number(),
  /** As that of the list. */
  mark: number.default(0),
});
const list = z.object({
  format: z.literal(1),
  next: z.int().min(1),
  /** 0: none. */
  live: number,
  /** The one that was live before it, which is live again when it is rolled back; 0: none. */
  before: number.default(0),
  /** Since when the live one is on probation; 0: it is not. */
  probationMs: z.number().default(0),
  /** Where the next dead letter stood when the live one went live: those from there on may be its own. */
  mark: number.default(0),
  /** Tried beside the live one, on a share of the keys; 0: as a shadow. */
  candidate: candidate.optional(),
  /** Contents of the source in the handlers' folder when it was last made a version. */
  folderHash: z.string().default(""),
  /** How the files of that source looked, and what made them a bundle; missing where that is not certain. */
  source: z.object({ builder: z.string(), looks: z.record(z.string(), z.string()) }).optional(),
  /** Stands for what the live version was loaded with last. */
  loaded: z.string().default(""),
  /** It was deployed by the API since: it stays when there is no source of it in the folder. */
  isUploaded: z.boolean().default(false),
  /** What happened, the oldest first. */
  history: z.array(step).default([]),
  versions: z.array(entry),
});

export type VersionList = z.output<typeof list>;
export type VersionEntry = z.output<typeof entry>;
export type Step = z.output<typeof step>;

export interface StoredVersion extends VersionEntry {
  readonly code: string;
  readonly sourceMap: string;
}

/** Kept beside those that are live, were live before, or are tried. */
export const VERSIONS_KEPT = 10;
const HISTORY_MAX = 50;

export function hashOf(build: Pick<Build, "code" | "sourceMap">): string {
  return createHash("sha256").update(build.code).update("\0").update(build.sourceMap).digest("hex");
}

export class Versions {
  readonly #folder: string;
  #list: VersionList;
  /** What was wrong with the list when it was opened. */
  readonly damage: Fault | undefined;

  private constructor(folder: string, versions: VersionList, damage: Fault | undefined) {
    this.#folder = folder;
    this.#list = versions;
    this.damage = damage;
  }

  static async open(folder: string): Promise<Versions> {
    const path = join(folder, "versions.json");
    let text: string;
    try {
      text = await readFile(path, "utf8");
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === "ENOENT")
        return new Versions(folder, await afresh(folder), undefined);
      throw new Fault("DEPLOY_STORE_FAILED", `the list of versions cannot be read: ${messageOf(cause)}`, {
        where: path,
        cause,
      });
    }
    try {
      return new Versions(folder, list.parse(JSON.parse(text)), undefined);
    } catch (cause) {
      const aside = `${path}.damaged-${Date.now()}`;
      await rename(path, aside);
      const damage = new Fault("DEPLOY_STORE_DAMAGED", `the list of versions is damaged; kept as ${aside}`, {
        where: path,
        cause,
      });
      return new Versions(folder, await afresh(folder), damage);
    }
  }

  /** The version with these contents, when it is kept. */
  find(hash: string): VersionEntry | undefined {
    return this.#list.versions.find((each) => each.hash === hash);
  }

  /** All that is known. */
  get list(): Readonly<VersionList> {
    return this.#list;
  }

  /** The one that was live last. */
  get liveEntry(): VersionEntry | undefined {
    return this.entry(this.#list.live);
  }

  /** Number of the one to go back to when the handler is gone: that was live then; 0: none. */
  get lastLive(): number {
    const { live, history } = this.#list;
    return live === 0 ? (history.findLast(({ what }) => what === "removed")?.version ?? 0) : live;
  }

  /** Number of the one that was live last, undefined when none was. */
  get liveNumber(): number | undefined {
    return this.#list.live === 0 ? undefined : this.#list.live;
  }

  entry(version: number): VersionEntry | undefined {
    return this.#list.versions.find((each) => each.version === version);
  }

  /** A version with its code; undefined when it is not kept, or damaged. */
  async read(version: number): Promise<StoredVersion | undefined> {
    const found = this.entry(version);
    if (found === undefined) return undefined;
    try {
      const code = await readFile(join(this.#folder, `${version}.js`), "utf8");
      const sourceMap = await readFile(join(this.#folder, `${version}.js.map`), "utf8");
      return hashOf({ code, sourceMap }) === found.hash ? { ...found, code, sourceMap } : undefined;
    } catch {
      return undefined;
    }
  }

  /** Gives a build its number, durably. */
  async add(
    build: Pick<Build, "code" | "sourceMap">,
    more: Omit<VersionEntry, "version" | "hash">,
  ): Promise<VersionEntry> {
    const version = this.#list.next;
    const added = entry.parse({ version, hash: hashOf(build), ...more });
    await this.#guarded(async () => {
      if ((await mkdir(this.#folder, { recursive: true })) !== undefined) await syncFolder(dirname(this.#folder));
      // The list names them: their contents are synced before it is written, their names with it.
      await writeAside(this.#folder, `${version}.js`, build.code);
      await writeAside(this.#folder, `${version}.js.map`, build.sourceMap);
      await this.#save({ ...this.#list, next: version + 1, versions: [...this.#list.versions, added] });
    });
    await this.update({}, undefined); // One that is refused after all must not stay for ever.
    return added;
  }

  /** Remembers, durably, what changes, and what happened with it; drops the oldest versions beyond what is kept. */
  async update(change: Partial<Omit<VersionList, "history" | "versions">>, happened?: Step): Promise<void> {
    const before = this.#list;
    const next = { ...before, ...change };
    if (happened !== undefined) next.history = [...before.history, happened].slice(-HISTORY_MAX);
    const used = new Set([next.live, next.before, next.candidate?.version]);
    const { versions } = before;
    next.versions = versions.filter(({ version }, at) => used.has(version) || at >= versions.length - VERSIONS_KEPT);
    // As they would be read again: what is undefined is not there then.
    if (happened === undefined && JSON.stringify(before) === JSON.stringify(next)) return;
    await this.#guarded(async () => {
      if ((await mkdir(this.#folder, { recursive: true })) !== undefined) await syncFolder(dirname(this.#folder));
      await this.#save(next);
    });
    for (const dropped of versions) {
      if (next.versions.includes(dropped)) continue;
      await rm(join(this.#folder, `${dropped.version}.js`), { force: true });
      await rm(join(this.#folder, `${dropped.version}.js.map`), { force: true });
    }
  }

  /** All but which number is next. The list looks as old as it was. False: there was nothing more. */
  async forget(): Promise<boolean> {
    const files = (await readdir(this.#folder)).filter((file) => /^\d+\.js(\.map)?(\.new)?$/.test(file));
    if (files.length === 0) return false;
    const path = join(this.#folder, "versions.json");
    const { atime, mtime } = await stat(path);
    await this.#guarded(() => this.#save(list.parse({ format: 1, next: this.#list.next, live: 0, versions: [] })));
    await utimes(path, atime, mtime);
    for (const file of files) await rm(join(this.#folder, file), { force: true });
    return true;
  }

  /** Throws Fault DEPLOY_STORE_FAILED when nothing could be remembered. */
  async assertWritable(): Promise<void> {
    await this.#guarded(() => this.#save(this.#list));
  }

  async #save(versions: VersionList): Promise<void> {
    await writeAside(this.#folder, "versions.json", `${JSON.stringify(versions, undefined, 2)}\n`);
    await syncFolder(this.#folder);
    this.#list = versions;
  }

  async #guarded(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (cause) {
      throw new Fault("DEPLOY_STORE_FAILED", `the version cannot be stored: ${messageOf(cause)}`, {
        where: this.#folder,
        cause,
      });
    }
  }
}

async function afresh(folder: string): Promise<VersionList> {
  const files: readonly string[] = await readdir(folder).catch((): string[] => []);
  const numbers = files.map((file) => Number(/^(\d+)\.js$/.exec(file)?.[1] ?? 0));
  return list.parse({ format: 1, next: Math.max(0, ...numbers) + 1, live: 0, versions: [] });
}

/** All of it or nothing: written aside, synced, renamed. The name lasts once the folder is synced. */
async function writeAside(folder: string, file: string, text: string): Promise<void> {
  const path = join(folder, file);
  const aside = `${path}.new`;
  try {
    const handle = await open(aside, "w");
    try {
      await handle.writeFile(text);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(aside, path);
  } catch (error) {
    // Where there is no room half a bundle would take what is left of it.
    await rm(aside, { force: true }).catch(() => undefined);
    throw error;
  }
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
