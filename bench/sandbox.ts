/**
 * What running tasks costs: events a second through the sandbox with one runner, and the processor time of an event on
 * either side of the border. Run it as `node bench/sandbox.ts`; `--json` prints the rows as JSON.
 *
 * First one handler with batches of all sizes; then as many handlers as there may be, in turns, with batches as small as
 * they get when hundreds share a load: the same work, only spread over more isolates. Two batches of each handler are in
 * flight at a time, as in the gateway. The handler parses 60 bytes of JSON and returns one output.
 */
import { eventRecordBytesMax, writeEventRecord } from "../src/event.ts";
import { createLog } from "../src/log.ts";
import { Sandbox } from "../src/sandbox/sandbox.ts";
import { sandboxSettings } from "../src/sandbox/settings.ts";
import type { Task } from "../src/task.ts";
import { systemClock } from "../src/time.ts";
import { cpuMs, pause } from "./processes.ts";

const ALONE = [1, 16, 64, 256];
const TOGETHER = [1, 20, 100, 500];
const TOGETHER_BATCH = 10;
const CODE = `module.exports.default = (event, ctx) => {
  const { c } = event.data;
  return { machine: event.params.machine, c, hot: c > ctx.params.limit };
};`;
const SECONDS = 2;
/** Each isolate compiles its own copy of the code, and that takes some thousand events. */
const WARM_UP_EVENTS = 5_000;

interface Row {
  readonly handlers: number;
  readonly batch: number;
  readonly eventsPerSecond: number;
  readonly hostMicroseconds: number;
  readonly runnerMicroseconds: number;
}

function tasks(handler: number, count: number): Task[] {
  return Array.from({ length: count }, (_, seq) => {
    const topic = `plant/press-3/m${seq % 50}/temperature`;
    const payload = Buffer.from(JSON.stringify({ c: 70 + (seq % 20), unit: "C", sensor: `s-${seq % 50}`, n: seq }));
    const draft = {
      kind: "topic",
      topic,
      device: `d${seq % 50}`,
      payload,
      qos: 1,
      retain: false,
      hops: 0,
      timeMs: Date.now(),
    } as const;
    const page = Buffer.alloc(eventRecordBytesMax(draft, 1));
    writeEventRecord(page, 0, draft, [handler]);
    return { handler, seq, page, at: 0, key: topic, attempt: 0, parked: false };
  });
}

async function measure(sandbox: Sandbox, handlers: number, size: number): Promise<Row> {
  const batches = Array.from({ length: handlers }, (_, n) => tasks(n + 1, size));
  const states = Array.from({ length: size }, () => undefined);
  let events = 0;
  let going = true;
  const loop = async (handler: number): Promise<void> => {
    const batch = batches[handler - 1] as Task[];
    while (going) {
      await new Promise<void>((resolve, reject) => {
        sandbox.run(0, handler, batch, states, ({ results }) => {
          if (results.every(({ at }) => at === "done")) resolve();
          else reject(new Error(JSON.stringify(results[0])));
        });
      });
      events += size;
    }
  };
  const loops = batches.flatMap((_, n) => [loop(n + 1), loop(n + 1)]);
  const [runner = 0] = sandbox.pids;
  while (events < handlers * WARM_UP_EVENTS) await pause(50);
  const start = { events, atMs: performance.now(), cpu: process.cpuUsage(), runnerMs: cpuMs(runner) };
  await pause(SECONDS * 1000);
  const { user, system } = process.cpuUsage(start.cpu);
  const measured = events - start.events;
  const row = {
    handlers,
    batch: size,
    eventsPerSecond: (measured * 1000) / (performance.now() - start.atMs),
    hostMicroseconds: (user + system) / measured,
    runnerMicroseconds: ((cpuMs(runner) - start.runnerMs) * 1000) / measured,
  };
  going = false;
  await Promise.all(loops);
  return row;
}

async function load(sandbox: Sandbox, id: number): Promise<void> {
  const settings = {
    timeoutMs: 1000,
    memoryBytes: 32 * 1024 * 1024,
    params: { limit: 80 },
    topics: ["plant/{line}/{machine}/temperature"],
  };
  const loaded = await sandbox.load({ name: `bench-${id}`, id, version: 1, code: CODE, sourceMap: "", settings });
  if (loaded.at !== "ready") throw new Error(loaded.failure.message);
}

const sandbox = await Sandbox.open({
  settings: sandboxSettings.parse({}),
  journalId: "0123abcd",
  gatewayId: "bench",
  clock: systemClock,
  log: createLog({ level: "warn", pretty: false }),
  onLog: () => undefined,
});
const rows: Row[] = [];
await load(sandbox, 1);
for (const size of ALONE) rows.push(await measure(sandbox, 1, size));
for (const handlers of TOGETHER) {
  for (let id = sandbox.figures().handlers + 1; id <= handlers; id++) await load(sandbox, id);
  rows.push(await measure(sandbox, handlers, TOGETHER_BATCH));
}
await sandbox.close();
if (process.argv.includes("--json")) {
  console.log(JSON.stringify(rows));
} else {
  for (const { handlers, batch, eventsPerSecond, hostMicroseconds, runnerMicroseconds } of rows) {
    const rate = Math.round(eventsPerSecond).toLocaleString("en");
    console.log(
      `${String(handlers).padStart(3)} handlers, batches of ${String(batch).padStart(3)}: ${rate.padStart(8)} events/s, ` +
        `an event ${hostMicroseconds.toFixed(2)} µs here and ${runnerMicroseconds.toFixed(2)} µs in the runner`,
    );
  }
}
