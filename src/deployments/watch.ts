/**
 * Tells when something changed in some folders. The file system's own notices where there are any, and a look every few
 * seconds besides: network and bind mounts send none, and a folder that is replaced takes its notices with it. While what
 * was told last is being worked on, the rest is gathered, and is told as one.
 */
import { watch } from "node:fs";
import type { FSWatcher } from "node:fs";

/** Editors save in several steps; what they leave halfway is no version. */
const SETTLE_MS = 40;
const LOOK_MS = 2000;
const FOLDERS_MAX = 2000;

export class FolderWatch {
  readonly #changed: (noticed: boolean) => Promise<void>;
  readonly #watchers = new Map<string, FSWatcher>();
  #settling: NodeJS.Timeout | undefined;
  readonly #looking: NodeJS.Timeout;
  #isBusy = false;
  /** To be told when what is under way has ended. */
  #next: { readonly noticed: boolean } | undefined;

  /** `noticed` is false for a look that nothing has prompted. */
  constructor(changed: (noticed: boolean) => Promise<void>) {
    this.#changed = changed;
    this.#looking = setInterval(() => void this.#tell(false), LOOK_MS);
    this.#looking.unref();
  }

  /** From now on exactly these folders. One that cannot be watched is left to the looks. */
  set(folders: ReadonlySet<string>): void {
    for (const [folder, watcher] of this.#watchers) {
      if (folders.has(folder)) continue;
      watcher.close();
      this.#watchers.delete(folder);
    }
    for (const folder of folders) {
      if (this.#watchers.has(folder) || this.#watchers.size >= FOLDERS_MAX) continue;
      try {
        const watcher = watch(folder, { persistent: false }, () => this.#notice());
        const forget = (): void => {
          watcher.close();
          if (this.#watchers.get(folder) === watcher) this.#watchers.delete(folder);
        };
        watcher.on("error", forget);
        this.#watchers.set(folder, watcher);
      } catch {
        // Not there, or no watches left: the looks remain.
      }
    }
  }

  close(): void {
    clearInterval(this.#looking);
    clearTimeout(this.#settling);
    this.set(new Set());
  }

  #notice(): void {
    clearTimeout(this.#settling);
    this.#settling = setTimeout(() => void this.#tell(true), SETTLE_MS);
  }

  async #tell(noticed: boolean): Promise<void> {
    this.#next = { noticed: noticed || this.#next?.noticed === true };
    if (this.#isBusy) return;
    this.#isBusy = true;
    for (let next = this.#take(); next !== undefined; next = this.#take()) await this.#changed(next.noticed);
    this.#isBusy = false;
  }

  #take(): { readonly noticed: boolean } | undefined {
    const next = this.#next;
    this.#next = undefined;
    return next;
  }
}
