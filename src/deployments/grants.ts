/** What a handler is granted, as people read it, and what a deploy changes of it. */
import type { HandlerSettings } from "./settings.ts";

export type Grants = Pick<HandlerSettings, "fetch" | "secrets">;

export interface ShownGrants {
  /** Origins, with a word where their name may resolve to a private address. */
  readonly fetch: readonly string[];
  /** Names. */
  readonly secrets: readonly string[];
}

export function shownGrants({ fetch, secrets }: Grants): ShownGrants {
  return { fetch: fetch.map((each) => (each.private ? `${each.origin} (private)` : each.origin)), secrets };
}

/** For the log line of a deploy: what is granted, and what was not or is not any more. `before`: the version before. */
export function grantFields(now: Grants, before: Grants | undefined): Readonly<Record<string, readonly string[]>> {
  const shown = shownGrants(now);
  const was = before === undefined ? undefined : linesOf(shownGrants(before));
  const is = linesOf(shown);
  const fields = {
    fetch: shown.fetch,
    secrets: shown.secrets,
    granted: was === undefined ? [] : is.filter((line) => !was.includes(line)),
    revoked: was === undefined ? [] : was.filter((line) => !is.includes(line)),
  };
  return Object.fromEntries(Object.entries(fields).filter(([, list]) => list.length > 0));
}

function linesOf({ fetch, secrets }: ShownGrants): string[] {
  return [...fetch.map((origin) => `fetch ${origin}`), ...secrets.map((name) => `secret ${name}`)];
}
