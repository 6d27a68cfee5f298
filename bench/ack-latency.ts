/**
 * Experiment: what a device waits for its PUBACK beyond the disk. Publishing and bare fsyncs take turns in the same
 * folder, for a disk's mood changes by the second.
 */
import { fdatasyncSync, closeSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { Readings } from "./figures.ts";
import { Load, plantTopics } from "./load.ts";
import { Mosquitto } from "./mosquitto.ts";
import { median, quantile, round } from "./numbers.ts";
import { pause, temporaryFolder } from "./processes.ts";
import { ENRICH, Sluice } from "./sluice.ts";

const TURNS = 10;
const PER_TURN = 300;
const WARM_UP = 1_000;
const RECORD_BYTES = 200;
const TURN_MS_MAX = 20_000;

export async function ackLatency(): Promise<Readings> {
  await using folder = await temporaryFolder();
  const upstream = await Mosquitto.open(folder.path);
  const sluice = await Sluice.open({ folder: folder.path, upstreamPort: upstream.port, handlers: { enrich: ENRICH } });
  const load = await Load.open({ port: sluice.port, devices: 1, window: 1, topics: plantTopics(1), timed: true });
  const file = openSync(join(sluice.dataFolder, "bench-fsync"), "w");
  const acks: number[] = [];
  const fsyncs: number[] = [];
  try {
    let sent = WARM_UP;
    await published(load, sent);
    for (let turn = 0; turn < TURNS; turn++) {
      sent += PER_TURN;
      acks.push(...(await published(load, sent)));
      // What the last events still have to write is not the bare disk's.
      await pause(100);
      fsyncs.push(...timeFsyncs(file, PER_TURN));
    }
  } finally {
    closeSync(file);
    await load.close();
    await sluice.close();
    await upstream.close();
  }
  const ack = median(acks);
  const fsync = median(fsyncs);
  return {
    "ack-latency": {
      value: round(ack - fsync, 3),
      detail:
        `PUBACK p50 ${round(ack, 3)} ms, p99 ${round(quantile(acks, 0.99), 2)} ms; ` +
        `fsync p50 ${round(fsync, 3)} ms, p99 ${round(quantile(fsyncs, 0.99), 2)} ms`,
    },
  };
}

/** Publishes up to `sentMax` in all, one at a time, and gives the times to the acknowledgements. */
async function published(load: Load, sentMax: number): Promise<number[]> {
  load.limit(sentMax);
  const times: number[] = [];
  const deadline = performance.now() + TURN_MS_MAX;
  for (;;) {
    await pause(20);
    const news = await load.counts();
    times.push(...news.ackMs);
    if (news.acked >= sentMax) return times;
    if (performance.now() > deadline) throw new Error(`only ${news.acked} of ${sentMax} were acknowledged`);
  }
}

function timeFsyncs(file: number, count: number): number[] {
  const record = Buffer.alloc(RECORD_BYTES, 120);
  return Array.from({ length: count }, () => {
    const from = performance.now();
    writeSync(file, record);
    fdatasyncSync(file);
    return performance.now() - from;
  });
}
