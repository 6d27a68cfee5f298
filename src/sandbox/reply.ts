/**
 * What a call of the guest comes back with. An array, because it leaves the isolate as a copy, and the copy is made after
 * the promises that the call has started have gone as far as they can: they complete what the call has begun.
 */
export type Reply = [
  /** The batch's answer (api/answer.ts); "" while it waits. */
  answer: string,
  /** Whether the batch waits to be called again. */
  waits: boolean,
  /** Milliseconds until it has something to do, 0 at once, -1 never by itself. */
  wakeInMs: number,
  /** Milliseconds that are left to the task that waits. */
  leftMs: number,
  /** Milliseconds of the call that passed before that task was begun; -1 when none waits. */
  othersMs: number,
  /** What it asks of the gateway (api/asks.ts), "" when nothing. Leaves only when the batch waits. */
  asks: string,
];

export function answered(answer: string): Reply {
  return [answer, false, -1, 0, -1, ""];
}

export function waiting(reply: Reply, wakeInMs: number, leftMs: number, othersMs: number, asks = ""): void {
  reply[0] = "";
  reply[1] = true;
  reply[2] = wakeInMs;
  reply[3] = leftMs;
  reply[4] = othersMs;
  reply[5] = asks;
}
