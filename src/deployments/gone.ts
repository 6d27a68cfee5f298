/**
 * Versions of handlers that are gone: they stay, to be looked at and gone back to, and so that one that comes back has its
 * own again; but not of however many there have been. Beyond {@link GONE_MAX} handlers the bundles go of those that have
 * been gone for longest; what stays of them is which number is next, for a number names one content for ever (D2).
 */
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { messageOf } from "../fault.ts";
import type { Log } from "../log.ts";
import { isHandlerName } from "./sources.ts";
import { Versions } from "./versions.ts";

export const GONE_MAX = 100;

/** What is kept of a handler that is gone; undefined when it is nothing. */
export async function versionsOfGone(folder: string | undefined, name: string): Promise<Versions | undefined> {
  if (folder === undefined || !isHandlerName(name)) return undefined;
  const versions = await Versions.open(join(folder, name));
  return versions.list.versions.length === 0 ? undefined : versions;
}

/** Never throws: what cannot be looked at, or removed, is tried again the next time. */
export async function forgetGone(folder: string, isThere: (name: string) => boolean, log: Log): Promise<void> {
  const names: readonly string[] = await readdir(folder).catch((): string[] => []);
  const gone: { readonly name: string; readonly sinceMs: number }[] = [];
  for (const name of names) {
    if (!isHandlerName(name) || isThere(name)) continue;
    const list = await stat(join(folder, name, "versions.json")).catch(() => undefined);
    gone.push({ name, sinceMs: list?.mtimeMs ?? 0 });
  }
  gone.sort((a, b) => b.sinceMs - a.sinceMs);
  for (const { name } of gone.slice(GONE_MAX)) {
    try {
      const versions = await Versions.open(join(folder, name));
      if (await versions.forget()) log.info({ handler: name }, "versions of a handler that is long gone were removed");
    } catch (error) {
      log.warn({ handler: name, err: messageOf(error) }, "versions of a handler that is long gone were not removed");
    }
  }
}
