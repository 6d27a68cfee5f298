/**
 * In the runner: work on the main thread lets the event loop have a turn every so often. Without one nothing is answered,
 * nothing is read, and no beat is sent, so that a runner with much to do at once would look like one that is lost.
 *
 * Before each piece of work: `while (mustTurn()) await turn();`. It is asked anew after the turn, right before the work,
 * for others have waited for the same turn and may have used it up.
 */
import { setImmediate as nextTurn } from "node:timers/promises";

/** Work goes on for so long before others have a turn: well below what a beat (250 ms) may be late. */
const WORK_MS = 50;

let turnedMs = performance.now();
let turning: Promise<void> | undefined;

export function mustTurn(): boolean {
  return performance.now() - turnedMs >= WORK_MS;
}

export function turn(): Promise<void> {
  return (turning ??= nextTurn().then(() => {
    turnedMs = performance.now();
    turning = undefined;
  }));
}
