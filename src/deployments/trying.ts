/** What can be tried beside a handler's live version, and what is. */
import { Fault } from "../fault.ts";
import { triggersOf } from "./handler.ts";
import type { CandidateHandler, LiveHandler } from "./handler.ts";
import type { Maker } from "./maker.ts";
import type { HandlerSettings } from "./settings.ts";
import type { Versions } from "./versions.ts";

interface Handler {
  readonly name: string;
  readonly live: LiveHandler | undefined;
  readonly versions: Versions | undefined;
}

/** Throws Fault DEPLOY_NOTHING_LIVE or DEPLOY_ON_PROBATION where nothing can be tried now. */
export function triable({ name, live, versions }: Handler): { live: LiveHandler; versions: Versions } {
  if (live === undefined || versions === undefined) {
    const message = `nothing of handler ${name} is live that a version could be tried beside`;
    throw new Fault("DEPLOY_NOTHING_LIVE", message);
  }
  if (versions.list.probationMs > 0) {
    const message = `version ${live.version} of handler ${name} is on probation itself`;
    throw new Fault("DEPLOY_ON_PROBATION", message);
  }
  return { live, versions };
}

/** Throws Fault DEPLOY_SAME or DEPLOY_OTHER_TRIGGERS: both have to get the same events, and be two. */
export function assertComparable(
  live: LiveHandler,
  { version, file, settings }: { readonly version: number; readonly file: string; readonly settings: HandlerSettings },
): void {
  if (version === live.version) {
    throw new Fault("DEPLOY_SAME", `that is version ${version} of handler ${live.name}, which is live`);
  }
  if (triggersOf(settings) === triggersOf(live.settings)) return;
  const message = `its triggers or key are others than those of version ${live.version}`;
  throw new Fault("DEPLOY_OTHER_TRIGGERS", message, { where: file });
}

/** What is to be tried beside the live one, also when that was before the start. Throws a Fault when it cannot be. */
export async function candidateOf(
  maker: Maker,
  versions: Versions | undefined,
  live: LiveHandler | undefined,
): Promise<CandidateHandler | undefined> {
  const entry = versions?.list.candidate;
  if (versions === undefined || entry === undefined) return undefined;
  if (live?.candidate?.version === entry.version) {
    const settings = maker.compose(live.candidate, versions.entry(entry.version)?.config);
    return maker.candidate(live.candidate, settings, entry.share);
  }
  const stored = await versions.read(entry.version);
  if (stored === undefined) return undefined;
  return maker.candidate(stored, maker.compose(stored, stored.config), entry.share);
}
