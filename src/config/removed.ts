/** Settings that are gone: the config that has one fails with the new spelling, instead of "unknown setting". */
import { child } from "./json-schema.ts";
import type { ConfigProblem } from "./problem.ts";
import { settingName } from "./problem.ts";
import type { Path, Source } from "./source.ts";

export interface RemovedSetting {
  /** Where it stood; "*" is any key or index. */
  readonly path: readonly string[];
  /** The first version without it; undefined when no version that was released had it. */
  readonly since?: string;
  /** What to write instead, as a clause: "write `broker.listeners` with a url for each". */
  readonly instead: string;
}

/** Append only, newest last; an entry stays for as long as configs from before may be about. */
export const REMOVED_SETTINGS: readonly RemovedSetting[] = [
  ...["outputsMax", "resultMax", "stateMax", "timersMax", "logLinesPerSecond", "logLineMax"].map((name) => ({
    path: ["sandbox", name],
    instead: `write \`handlers.defaults.limits.${name}\`, or \`limits.${name}\` of one handler`,
  })),
];

/** The removed settings that `source` still has, with where they stand. */
export function findRemoved(source: Source, removed: readonly RemovedSetting[]): (ConfigProblem & { path: Path })[] {
  return removed.flatMap((setting) =>
    pathsOf(source.data, setting.path).map((path) => ({
      code: "CONFIG_REMOVED" as const,
      path,
      message: `\`${settingName(path)}\` is gone${setting.since === undefined ? "" : ` since ${setting.since}`}: ${setting.instead}`,
      ...source.keyPlace(path),
    })),
  );
}

function pathsOf(data: unknown, pattern: readonly string[], above: Path = []): Path[] {
  const [first, ...rest] = pattern;
  if (first === undefined) return [above];
  if (typeof data !== "object" || data === null) return [];
  const names = first === "*" ? Object.keys(data) : [first].filter((name) => Object.hasOwn(data, name));
  return names.flatMap((name) => {
    const part = Array.isArray(data) ? Number(name) : name;
    return pathsOf(child(data, part), rest, [...above, part]);
  });
}
