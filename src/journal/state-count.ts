/**
 * How much state each handler has, counted from the rows. The count is kept with the handler's progress, in the same batch
 * as the rows that change it (state.ts); this is for when it is not there, or when rows may have gone or come back.
 */
import type { Core } from "./core.ts";
import { messageOf } from "../fault.ts";
import { keys } from "./keys.ts";

/** Sets the counts right: of handlers whose count is not known, or of all (`anew`). */
export async function countStates(core: Core, anew: boolean): Promise<void> {
  for (const handler of core.handlers) {
    if (handler === undefined || !(anew || handler.isStateUnsure)) continue;
    const counted = handler.hasState ? await stateBytesOf(core, handler.id) : 0;
    handler.stateUnsure = 0;
    if (counted === handler.stateBytes) continue;
    handler.stateBytes = counted;
    core.writer.group.touch(handler);
  }
  let bytes = 0;
  for (const handler of core.handlers) bytes += handler?.stateBytes ?? 0;
  core.states.bytes = bytes;
}

/** Bytes of the handler's rows on disk. */
export async function stateBytesOf(core: Core, handler: number): Promise<number> {
  let bytes = 0;
  await core.disk.walk(
    keys.statesOf(handler),
    (key, row) => {
      bytes += key.length + row.length;
      return true;
    },
    (error) => core.damage.report({ where: "state", from: -1, to: -1, what: messageOf(error) }),
  );
  return bytes;
}
