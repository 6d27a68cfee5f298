/**
 * How fast the journal alone is: append → settle with one output and, every fourth time, a state → receipt, in one
 * process, with nothing around it. No assertions; for profiling: node --cpu-prof bench/journal.ts [events] [handlers].
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { EventDraft } from "../src/event.ts";
import { Journal } from "../src/journal/journal.ts";
import { createLog } from "../src/log.ts";
import type { Outcome, Output } from "../src/task.ts";
import { systemClock } from "../src/time.ts";

const events = Number(process.argv[2] ?? 300_000);
const handlerCount = Number(process.argv[3] ?? 1);
/** `record` as the third argument: what tasks came to is kept, as for replays. `keep`: events are, and that is not. */
const isRecording = process.argv[4] === "record" || process.argv[4] === "keep";
const startedMs = process.argv[4] === "record" ? Date.now() : 0;
const IN_FLIGHT_MAX = 2000;
const path = mkdtempSync(join(tmpdir(), "sluice-bench-journal-"));
const journal = await Journal.open({
  path,
  sizeMaxBytes: 2 ** 31,
  retainMs: isRecording ? 3_600_000 : 0,
  whenFull: "refuse",
  clock: systemClock,
  log: createLog({ level: "warn", pretty: false }),
});

const cloud = journal.uplinkId("cloud");
const handlers = Array.from({ length: handlerCount }, (_, i) => journal.handlerId(`handler-${i}`));
const payload = Buffer.from(JSON.stringify({ c: 21.5, at: "2026-01-01T00:00:00Z", pad: "x".repeat(200) }));
const output: Output = {
  to: [cloud],
  data: Buffer.from(JSON.stringify({ machine: "m1", c: 21.5, count: 17, pad: "y".repeat(100) })),
  json: true,
  type: "reading",
  subject: "m1",
  topic: "",
  qos: 1,
  retain: false,
};
const plain: Outcome = { at: "done", outputs: [output], state: undefined };
const withState: Outcome = { at: "done", outputs: [output], state: '{"count":17}' };

let sent = 0;
let acknowledged = 0;
let settled = 0;
let delivered = 0;
const ended = Promise.withResolvers<void>();
const startMs = performance.now();

function more(): void {
  while (sent < events && sent - acknowledged < IN_FLIGHT_MAX) {
    const draft: EventDraft = {
      kind: "topic",
      topic: `plant/line/m${sent % 100}/temperature`,
      device: `device-${sent % 50}`,
      payload,
      qos: 1,
      retain: false,
      hops: 0,
      timeMs: Date.now(),
    };
    if (journal.append(draft, [handlers[sent % handlerCount] as number], receiver, sent) !== "taken") return;
    sent++;
  }
}

const receiver = {
  committed: () => {
    acknowledged++;
    if (IN_FLIGHT_MAX - (sent - acknowledged) >= 200) more();
  },
};
journal.onRoom = more;

const feeds = handlers.map((handler) => {
  const feed = journal.tasks(handler, (topic) => topic, run);
  function run(): void {
    for (let task = feed.take(); task !== undefined; task = feed.take()) {
      journal.settle(task, settled++ % 4 === 0 ? withState : plain, 1, startedMs);
    }
  }
  return feed;
});

const outbox = journal.outbox(cloud, {}, deliver);
function deliver(): void {
  const receipts: { seq: number; verdict: "delivered" }[] = [];
  for (let entry = outbox.take(); entry !== undefined; entry = outbox.take()) {
    receipts.push({ seq: entry.seq, verdict: "delivered" });
  }
  journal.received(cloud, receipts);
  delivered += receipts.length;
  if (delivered === events) ended.resolve();
}

more();
await ended.promise;
await journal.synced();
const tookMs = performance.now() - startMs;
const figures = journal.figures();
console.log(`${Math.round((events / tookMs) * 1000)} events/s`);
console.log(
  `${figures.commits} commits of ${(events / figures.commits).toFixed(0)} events, ${(figures.commitMs / figures.commits).toFixed(2)} ms each`,
);
const { user: u1, system: s1 } = process.threadCpuUsage();
console.log(`main ${((u1 + s1) / events).toFixed(2)}`);
const { user, system } = process.cpuUsage();
console.log(`${((user + system) / events).toFixed(2)} µs CPU an event, all threads`);
console.log(JSON.stringify(journal.ledger().events));
for (const feed of feeds) feed.close();
await journal.close();
rmSync(path, { recursive: true });
