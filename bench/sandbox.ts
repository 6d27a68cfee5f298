/**
 * What running tasks costs: events a second through the sandbox with one runner, and the CPU time of an event on the
 * gateway's side of the border. Run it as `node bench/sandbox.ts`; `--json` prints the rows as JSON.
 *
 * Two batches are in flight at a time, as in the gateway. The handler parses 60 bytes of JSON and returns one output.
 */
import { eventRecordBytesMax, writeEventRecord } from "../src/event.ts";
import { createLog } from "../src/log.ts";
import { Sandbox } from "../src/sandbox/sandbox.ts";
import { sandboxSettings } from "../src/sandbox/settings.ts";
import type { Task } from "../src/task.ts";
import { systemClock } from "../src/time.ts";

const HANDLER = 1;
const CODE = `module.exports.default = (event, ctx) => {
  const { c } = event.data;
  return { machine: event.params.machine, c, hot: c > ctx.params.limit };
};`;
const SECONDS = 2;

interface Row {
  readonly batch: number;
  readonly eventsPerSecond: number;
  readonly hostMicroseconds: number;
}

function tasks(count: number): Task[] {
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
    writeEventRecord(page, 0, draft, [HANDLER]);
    return { handler: HANDLER, seq, page, at: 0, key: topic, attempt: 0, parked: false };
  });
}

async function measure(sandbox: Sandbox, size: number): Promise<Row> {
  const batch = tasks(size);
  const states = batch.map(() => undefined);
  const once = (): Promise<void> =>
    new Promise((resolve, reject) => {
      sandbox.run(0, HANDLER, batch, states, ({ results }) => {
        if (results.every(({ at }) => at === "done")) resolve();
        else reject(new Error(JSON.stringify(results[0])));
      });
    });
  const loop = async (untilMs: number): Promise<number> => {
    let batches = 0;
    while (performance.now() < untilMs) {
      await once();
      batches++;
    }
    return batches;
  };
  await Promise.all([loop(performance.now() + 300), loop(performance.now() + 300)]);
  const startMs = performance.now();
  const startCpu = process.cpuUsage();
  const counts = await Promise.all([loop(startMs + SECONDS * 1000), loop(startMs + SECONDS * 1000)]);
  const { user, system } = process.cpuUsage(startCpu);
  const events = counts.reduce((sum, each) => sum + each, 0) * size;
  const seconds = (performance.now() - startMs) / 1000;
  return { batch: size, eventsPerSecond: events / seconds, hostMicroseconds: (user + system) / events };
}

const sandbox = await Sandbox.open({
  settings: sandboxSettings.parse({}),
  journalId: "0123abcd",
  gatewayId: "bench",
  clock: systemClock,
  log: createLog({ level: "warn", pretty: false }),
  onLog: () => undefined,
});
const loaded = await sandbox.load({
  name: "bench",
  id: HANDLER,
  version: 1,
  code: CODE,
  sourceMap: "",
  settings: {
    timeoutMs: 1000,
    memoryBytes: 32 * 1024 * 1024,
    params: { limit: 80 },
    topics: ["plant/{line}/{machine}/temperature"],
  },
});
if (loaded.at !== "ready") throw new Error(loaded.failure.message);
const rows: Row[] = [];
for (const size of [1, 16, 64, 256]) rows.push(await measure(sandbox, size));
await sandbox.close();
if (process.argv.includes("--json")) {
  console.log(JSON.stringify(rows));
} else {
  for (const { batch, eventsPerSecond, hostMicroseconds } of rows) {
    const rate = Math.round(eventsPerSecond).toLocaleString("en");
    console.log(
      `batch ${String(batch).padStart(3)}: ${rate.padStart(8)} events/s, host ${hostMicroseconds.toFixed(2)} µs an event`,
    );
  }
}
