/**
 * In the runner: whether a call stops when its time is over. V8 is told to stop it, and the isolate's thread hears that at
 * its next turn; one that never does is in a call that cannot be stopped, and costs the process. A thread that waits for
 * its turn on a busy box is not meant, so what counts is the processor time that it can have had.
 */

export const OVERDUE = Symbol("overdue");

/** Not given up before this is over, and not before it can have had so much processor time. */
const GRACE_MS = 500;
const BUSY_MS = 300;
/** However busy the box is. The gateway gives the process up a little later (in-flight.ts). */
const GRACE_MS_MAX = 2000;
const LOOK_MS = 100;
const MICROSECONDS = 1000;

/** Calls under way, each on a thread of its own. */
let underWay = 0;

/** `result`, or OVERDUE when it is still not there long after `ms`, at which it was to be stopped. */
export function withDeadline<Result>(result: Promise<Result>, ms: number): Promise<Result | typeof OVERDUE> {
  underWay++;
  return new Promise((resolve, reject) => {
    let sinceMs = 0;
    let busyBefore = 0;
    const look = (): void => {
      const graceMs = performance.now() - sinceMs;
      const isLong = graceMs >= GRACE_MS && (processMs() - busyBefore) / underWay >= BUSY_MS;
      if (isLong || graceMs >= GRACE_MS_MAX) {
        // What has come while this thread was busy with something else is heard first.
        setImmediate(() => over(() => resolve(OVERDUE)));
      } else timer = setTimeout(look, LOOK_MS);
    };
    let timer = setTimeout(() => {
      sinceMs = performance.now();
      busyBefore = processMs();
      timer = setTimeout(look, GRACE_MS);
    }, ms);
    let isOver = false;
    const over = (tell: () => void): void => {
      clearTimeout(timer);
      if (!isOver) underWay--;
      isOver = true;
      tell();
    };
    result.then(
      (value) => over(() => resolve(value)),
      (error: unknown) => over(() => reject(error instanceof Error ? error : new Error(String(error)))),
    );
  });
}

/** Processor time of the process, all its threads together. */
function processMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / MICROSECONDS;
}
