/** What is the same for all tasks of a version, as their contexts show it. */
import type { GuestSettings } from "../isolates.ts";
import type { Surroundings } from "./context.ts";
import type { GuestLog } from "./log.ts";
import { bare, freeze } from "./primordials.ts";
import { plainSignal } from "./signal.ts";
import { deepFreeze } from "./values.ts";
import type { Beside } from "./web/host.ts";

/** `beside`: what the web's globals have left, once they are installed. */
export function surroundings(settings: GuestSettings, log: GuestLog, beside: Beside): Surroundings {
  const { handler, version, limits } = settings;
  const params = deepFreeze(settings.params) as Record<string, unknown>;
  const secrets = freeze(bare({ ...settings.secrets }));
  const newSignal: Surroundings["newSignal"] = () => (beside.controlled ?? plainSignal)();
  return { handler, version, params, secrets, log, limits, newSignal };
}
