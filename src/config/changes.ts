/** What a new config changes, and which of it a running gateway can take on. */
import { isDeepStrictEqual } from "node:util";
import { child } from "./json-schema.ts";
import { settingName } from "./problem.ts";
import type { Path } from "./source.ts";

export interface ConfigChange {
  /** "uplinks.cloud.path" */
  readonly setting: string;
  readonly path: Path;
  /** Taken on while running, or at the next start only. */
  readonly takesEffect: "now" | "restart";
}

/**
 * Sections and settings that a running gateway takes on. What is not listed needs a restart: it decides what is open
 * (listeners, the data folder) or how much memory and disk was set aside.
 */
const LIVE: readonly (readonly string[])[] = [
  ["log", "level"],
  ["handlers", "defaults"],
  ["handlers", "settings"],
  ["secrets"],
  ["uplinks"],
  ["routes"],
  ["gateway", "drain"],
];

/** Every setting that differs, in the order of the sections. Lists count as one setting. */
export function diffConfig(before: unknown, after: unknown): readonly ConfigChange[] {
  return changes(before, after, []);
}

function changes(before: unknown, after: unknown, path: Path): ConfigChange[] {
  if (isDeepStrictEqual(before, after)) return [];
  if (isSection(before) && isSection(after)) {
    const names = new Set([...Object.keys(before), ...Object.keys(after)]);
    return [...names].flatMap((name) => changes(child(before, name), child(after, name), [...path, name]));
  }
  const isLive = LIVE.some((live) => live.every((part, index) => path[index] === part));
  return [{ setting: settingName(path), path, takesEffect: isLive ? "now" : "restart" }];
}

function isSection(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
