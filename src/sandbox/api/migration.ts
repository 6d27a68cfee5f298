/** The state of a key that another version wrote, as this one wants it. */
import { Refusal } from "./failure.ts";
import type { Migrate } from "./module.ts";
import { isArray, jsonParse } from "./primordials.ts";
import type { Running } from "./running.ts";
import { promiseOf } from "./values.ts";

/** Before the handler is called: has `migrate` make what this version wants of a state that another one wrote. */
export function migrateFor(task: Running, migrate: Migrate | undefined, version: number): void {
  const { stateBefore, writerBefore, context } = task;
  if (migrate === undefined || stateBefore === undefined || writerBefore === 0 || writerBefore === version) return;
  task.isMigrated = true;
  context.state = migrated(migrate, stateBefore, writerBefore);
}

/** What `migrate` makes of the state: nothing returned means that it changed it where it is, null that it begins anew. */
function migrated(migrate: Migrate, stateText: string, fromVersion: number): object {
  const state = jsonParse(stateText) as object;
  const made = migrate(state, fromVersion);
  if (made === undefined) return state;
  if (made === null) return {};
  if (promiseOf(made) !== undefined)
    throw new Refusal("SANDBOX_STATE_INVALID", "migrate returns the state itself, not a promise of it");
  if (typeof made !== "object" || isArray(made))
    throw new Refusal("SANDBOX_STATE_INVALID", "migrate returns an object, as ctx.state is one");
  return made;
}
