/**
 * Folders that handlers wait for changes in: looked at every two seconds, their own files only, never the content. What was there
 * when a folder was looked at first is no change. At most 1,000 files a folder, by name; others are not seen.
 */
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";

const LOOK_MS = 2000;
export const FILES_MAX = 1000;

export interface FileChange {
  readonly change: "added" | "changed" | "removed";
  readonly path: string;
  readonly bytes: number;
}

/** By file: what tells one version from the next. */
type Looks = ReadonlyMap<string, { readonly look: string; readonly bytes: number }>;

export class Folders {
  readonly #changed: (change: FileChange) => void;
  readonly #known = new Map<string, Looks>();
  #folders: ReadonlySet<string> = new Set();
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> = Promise.resolve();

  constructor(changed: (change: FileChange) => void) {
    this.#changed = changed;
  }

  /** From now on exactly these. */
  set(folders: ReadonlySet<string>): void {
    this.#folders = folders;
    for (const folder of this.#known.keys()) if (!folders.has(folder)) this.#known.delete(folder);
    clearInterval(this.#timer);
    if (folders.size === 0) return;
    this.#timer = setInterval(() => void this.look(), LOOK_MS);
    this.#timer.unref();
    void this.look();
  }

  look(): Promise<void> {
    this.#looking = this.#looking.then(async () => {
      for (const folder of this.#folders) await this.#lookAt(folder);
    });
    return this.#looking;
  }

  async #lookAt(folder: string): Promise<void> {
    const now = await looksOf(folder);
    const before = this.#known.get(folder);
    if (!this.#folders.has(folder)) return;
    this.#known.set(folder, now);
    if (before === undefined) return;
    for (const [path, { look, bytes }] of now) {
      const was = before.get(path);
      if (was === undefined) this.#changed({ change: "added", path, bytes });
      else if (was.look !== look) this.#changed({ change: "changed", path, bytes });
    }
    for (const path of before.keys()) if (!now.has(path)) this.#changed({ change: "removed", path, bytes: 0 });
  }

  close(): void {
    clearInterval(this.#timer);
    this.#folders = new Set();
  }
}

/** A folder that is not there has no files. */
async function looksOf(folder: string): Promise<Looks> {
  const names = await readdir(folder).catch((): string[] => []);
  const looks = new Map<string, { look: string; bytes: number }>();
  for (const name of names.sort().slice(0, FILES_MAX)) {
    const path = join(folder, name);
    const found = await stat(path).catch(() => undefined);
    if (found?.isFile() !== true) continue;
    looks.set(path, { look: `${found.mtimeMs} ${found.size} ${found.ino}`, bytes: found.size });
  }
  return looks;
}
