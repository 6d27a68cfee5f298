/** Leaf: how files look from outside, to notice that one has changed without reading it. */
import { stat } from "node:fs/promises";

const MISSING = { ctimeMs: 0, mtimeMs: 0, size: -1, ino: 0 };

/** By path; a file that is not there has a look too. */
export async function looksOf(paths: readonly string[]): Promise<Map<string, string>> {
  const looks = new Map<string, string>();
  for (const path of paths) {
    const { ctimeMs, mtimeMs, size, ino } = await stat(path).catch(() => MISSING);
    looks.set(path, `${ctimeMs} ${mtimeMs} ${size} ${ino}`);
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

/** A file that was changed so shortly before it was read may have been changed again without looking another way. */
const SETTLED_MS = 2000;

/** Whether looks say what was read from `readMs` on, by the box's clock. */
export function areSettled(looks: ReadonlyMap<string, string>, readMs: number): boolean {
  for (const look of looks.values()) if (Number.parseFloat(look) >= readMs - SETTLED_MS) return false;
  return true;
}
