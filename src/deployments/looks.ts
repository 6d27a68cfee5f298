/** How files look from outside, to notice that one has changed without reading it. */
import { stat } from "node:fs/promises";

/** By path; a file that is not there has a look too. */
export async function looksOf(paths: readonly string[]): Promise<Map<string, string>> {
  const looks = new Map<string, string>();
  for (const path of paths) {
    const { mtimeMs, size, ino } = await stat(path).catch(() => ({ mtimeMs: 0, size: -1, ino: 0 }));
    looks.set(path, `${mtimeMs} ${size} ${ino}`);
  }
  return looks;
}

/** Whether a file of `looks` changed, or `entry` is none of them. */
export async function hasChanged(looks: ReadonlyMap<string, string>, entry: string): Promise<boolean> {
  if (!looks.has(entry)) return true;
  const now = await looksOf([...looks.keys()]);
  for (const [path, look] of looks) if (now.get(path) !== look) return true;
  return false;
}
