/**
 * The versions of one handler, on disk: `<folder>/versions.json`, and `<n>.js` and `<n>.js.map` for each kept one.
 *
 * A version's number stands in outcomes, so it is durable before it runs, and a number is never given twice, even when
 * the list is damaged: then it is set aside, and numbering goes on above every file that is there.
 */
import { createHash } from "node:crypto";
import { mkdir, open, readdir, readFile, rename, rm } from "node:fs/promises";
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
});
const list = z.object({ format: z.literal(1), next: z.int().min(1), live: z.int().min(0), versions: z.array(entry) });

type VersionList = z.output<typeof list>;
export type VersionEntry = z.output<typeof entry>;

export interface StoredVersion extends VersionEntry {
  readonly code: string;
  readonly sourceMap: string;
}

/** Kept beside the live one. */
export const VERSIONS_KEPT = 10;

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

  get list(): readonly VersionEntry[] {
    return this.#list.versions;
  }

  /** The one that was live last. */
  get liveEntry(): VersionEntry | undefined {
    return this.#list.versions.find(({ version }) => version === this.#list.live);
  }

  /** Number of the one that was live last, undefined when none was. */
  get liveNumber(): number | undefined {
    return this.#list.live === 0 ? undefined : this.#list.live;
  }

  /** The one that was live last, with its code; undefined when there is none or it is damaged. */
  async live(): Promise<StoredVersion | undefined> {
    const live = this.liveEntry;
    if (live === undefined) return undefined;
    try {
      const code = await readFile(join(this.#folder, `${live.version}.js`), "utf8");
      const sourceMap = await readFile(join(this.#folder, `${live.version}.js.map`), "utf8");
      return hashOf({ code, sourceMap }) === live.hash ? { ...live, code, sourceMap } : undefined;
    } catch {
      return undefined;
    }
  }

  /** Gives a build its number, durably. */
  async add(build: Build, config: unknown, file: string, builtMs: number): Promise<VersionEntry> {
    const version = this.#list.next;
    const added = entry.parse({ version, hash: hashOf(build), builtMs, config, file });
    await this.#guarded(async () => {
      if ((await mkdir(this.#folder, { recursive: true })) !== undefined) await syncFolder(dirname(this.#folder));
      // The list names them: their contents are synced before it is written, their names with it.
      await writeAside(this.#folder, `${version}.js`, build.code);
      await writeAside(this.#folder, `${version}.js.map`, build.sourceMap);
      await this.#save({ ...this.#list, next: version + 1, versions: [...this.#list.versions, added] });
    });
    return added;
  }

  /** Remembers, durably, which one is live, and drops the oldest ones beyond what is kept. */
  async setLive(version: number): Promise<void> {
    if (this.#list.live === version) return;
    const { versions } = this.#list;
    const kept = versions.filter((each, index) => each.version === version || index >= versions.length - VERSIONS_KEPT);
    await this.#guarded(() => this.#save({ ...this.#list, live: version, versions: kept }));
    for (const dropped of versions) {
      if (kept.includes(dropped)) continue;
      await rm(join(this.#folder, `${dropped.version}.js`), { force: true });
      await rm(join(this.#folder, `${dropped.version}.js.map`), { force: true });
    }
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
  return { format: 1, next: Math.max(0, ...numbers) + 1, live: 0, versions: [] };
}

/** All of it or nothing: written aside, synced, renamed. The name lasts once the folder is synced. */
async function writeAside(folder: string, file: string, text: string): Promise<void> {
  const path = join(folder, file);
  const aside = `${path}.new`;
  const handle = await open(aside, "w");
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(aside, path);
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
