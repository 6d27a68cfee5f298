/** What follows from a version's going live: what there is to go back to, whether it is watched, and whose failures run again. */
import type { LiveHandler } from "./handler.ts";
import type { Versions } from "./versions.ts";

export interface Succession {
  /** Another version was live, or none. */
  readonly isNews: boolean;
  /** The one to go back to. */
  readonly before: number | undefined;
  /** Its probation begins now. */
  readonly isWatched: boolean;
  /** Since when it is on probation; 0: it is not. */
  readonly sinceMs: number;
  /** Those that were watched and are not any more: what they failed at, from the mark on, runs again. */
  readonly leaving: readonly { readonly version: number; readonly mark: number }[];
}

/** `last`: what is live until then. */
export function successionOf(
  { version, settings }: LiveHandler,
  last: LiveHandler | undefined,
  versions: Versions | undefined,
  nowMs: number,
): Succession {
  const list = versions?.list;
  const replaced = last?.version ?? versions?.liveNumber;
  const isNews = replaced !== version;
  // What has not passed is nothing to go back to.
  const isUnproven = list !== undefined && list.probationMs > 0 && list.before > 0;
  const before = isUnproven ? list.before : replaced;
  const isOther = before !== undefined && before !== version;
  const isWatched = isNews && isOther && settings.probation !== undefined && list !== undefined;
  const sinceMs = isWatched ? nowMs : isNews ? 0 : (list?.probationMs ?? 0);
  const unproven = isUnproven && last !== undefined ? [{ version: last.version, mark: list.mark }] : [];
  const tried = list?.candidate === undefined || list.candidate.version === version ? [] : [list.candidate];
  return { isNews, before, isWatched, sinceMs, leaving: isNews ? [...unproven, ...tried] : [] };
}
