/**
 * What need not be done again at a start. A power cut must not keep devices waiting for 500 builds: a source that looks
 * as it did when it was built last is not built, and a version that was loaded with the same settings is loaded when its
 * first event comes, or when there is time (Deployments). Whatever differs takes the long way.
 */
import { createHash } from "node:crypto";
import { BUILDER } from "./build.ts";
import { version as gateway } from "../version.ts";
import type { LiveHandler } from "./handler.ts";
import { areSettled, hasChanged } from "../looks.ts";
import type { VersionList } from "./versions.ts";

type Remembered = Pick<VersionList, "source">;

/** Files that are looked at before a start; of a source with more of them nothing is remembered. */
const FILES_MAX = 500;

/** What to remember of a source that was read from `readMs` on; nothing where that could mislead. */
export function remembered(looks: ReadonlyMap<string, string>, readMs: number): Remembered {
  if (!areSettled(looks, readMs) || looks.size > FILES_MAX) return {};
  return { source: { builder: BUILDER, looks: Object.fromEntries(looks) } };
}

/** How its files looked, when they still do. */
export async function unchanged(
  { source }: Remembered,
  entry: string,
): Promise<ReadonlyMap<string, string> | undefined> {
  if (source === undefined || source.builder !== BUILDER) return undefined;
  const looks = new Map(Object.entries(source.looks));
  return (await hasChanged(looks, entry)) ? undefined : looks;
}

/** Stands for all that decides whether a version loads. */
export function loadDigest({ version, settings }: LiveHandler): string {
  const all = JSON.stringify([gateway, process.version, version, settings]);
  return createHash("sha256").update(all).digest("hex");
}
