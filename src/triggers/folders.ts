/**
 * Folders that handlers wait for changes in: looked at every two seconds, their own files only, never the content. What was there
 * when a folder was looked at first is no change. At most 1,000 files a folder, by name; others are not seen, and a folder
 * with more than {@link ENTRIES_MAX} entries is not looked at, for their names alone would take the gateway's time.
 */
import { opendir, stat } from "node:fs/promises";
import { join } from "node:path";

const LOOK_MS = 2000;
export const FILES_MAX = 1000;
export const ENTRIES_MAX = 10_000;

export interface FileChange {
  readonly change: "added" | "changed" | "removed";
  readonly path: string;
  readonly bytes: number;
}

interface Look {
  /** Tells one version of a file from the next. */
  readonly look: string;
  readonly bytes: number;
}

interface Looks {
  /** By path. */
  readonly files: ReadonlyMap<string, Look>;
  /** The last file that is seen, when others come after it. */
  readonly end: string | undefined;
}

export class Folders {
  readonly #changed: (change: FileChange) => void;
  readonly #known = new Map<string, Looks>();
  #folders: ReadonlySet<string> = new Set();
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> = Promise.resolve();
  /** A look that has not begun yet. */
  #next: Promise<void> | undefined;

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

  /** Behind the one that is under way, if one is; a folder on a dead network drive may keep it for long. */
  look(): Promise<void> {
    this.#next ??= this.#looking = this.#looking.then(async () => {
      this.#next = undefined;
      for (const folder of this.#folders) await this.#lookAt(folder);
    });
    return this.#next;
  }

  async #lookAt(folder: string): Promise<void> {
    const now = await looksOf(folder, this.#known.get(folder));
    const before = this.#known.get(folder);
    if (now === undefined || !this.#folders.has(folder)) return;
    this.#known.set(folder, now);
    if (before === undefined) return;
    for (const [path, { look, bytes }] of now.files) {
      const was = before.files.get(path);
      if (was !== undefined && was.look !== look) this.#changed({ change: "changed", path, bytes });
      // What was out of sight may have been there.
      if (was === undefined && isSeen(path, before)) this.#changed({ change: "added", path, bytes });
    }
    for (const path of before.files.keys()) {
      if (!now.files.has(path) && isSeen(path, now)) this.#changed({ change: "removed", path, bytes: 0 });
    }
  }

  close(): void {
    clearInterval(this.#timer);
    this.#folders = new Set();
  }
}

function isSeen(path: string, { end }: Looks): boolean {
  return end === undefined || path <= end;
}

/** A folder that is not there has no files. undefined: it has too many, or cannot be read now, as on a drive that is away. */
async function looksOf(folder: string, before: Looks | undefined): Promise<Looks | undefined> {
  const names = await namesIn(folder);
  if (names === undefined) return undefined;
  const files = new Map<string, Look>();
  const seen = names.sort().slice(0, FILES_MAX);
  for (const name of seen) {
    const path = join(folder, name);
    // A file that cannot be asked is as it was.
    const look = await lookOf(path).catch(() => before?.files.get(path));
    if (look !== undefined) files.set(path, look);
  }
  return { files, end: names.length > FILES_MAX ? join(folder, seen.at(-1) as string) : undefined };
}

async function lookOf(path: string): Promise<Look | undefined> {
  try {
    const found = await stat(path);
    if (!found.isFile()) return undefined;
    return { look: `${found.mtimeMs} ${found.size} ${found.ino}`, bytes: found.size };
  } catch (error) {
    if (isGone(error)) return undefined;
    throw error;
  }
}

function isGone(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === "ENOENT" || code === "ENOTDIR";
}

async function namesIn(folder: string): Promise<string[] | undefined> {
  const names: string[] = [];
  try {
    for await (const { name } of await opendir(folder, { bufferSize: 256 })) {
      if (names.push(name) > ENTRIES_MAX) return undefined;
    }
  } catch (error) {
    return isGone(error) ? [] : undefined;
  }
  return names;
}
