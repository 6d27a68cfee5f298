/** The part of the table of faults that is of replays: see faults.ts. */
import { kind } from "./fault-kind.ts";

export const REPLAY_FAULTS = {
  REPLAY_FAILED_AGAIN: kind(
    "handler",
    false,
    "The dead letter is where it was. Mend the handler, deploy it, and redrive the letter on that version.",
  ),
  REPLAY_NOTHING_KEPT: kind(
    "config",
    false,
    "Set `journal.record: outcomes` and a `journal.retain` that is more than 0; what runs from then on can be replayed.",
  ),
  REPLAY_NOT_STOPPED: kind("usage", false, "Only a replay that was cancelled, interrupted or failed can go on."),
  REPLAY_RUNNING: kind("usage", true, "Wait until it is done, or cancel it: `sluice replay NAME --list` shows it."),
  REPLAY_STOPPED: kind(
    "handler",
    false,
    "Look at the handler's log lines of that time; `sluice replay NAME --resume ID` goes on where it was.",
  ),
} as const;
