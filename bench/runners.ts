/** Experiments: the first event of a handler, and the first event after a runner was killed. */
import type { Readings } from "./figures.ts";
import { openClient, publishPacket, subscribe } from "./mqtt.ts";
import { Mosquitto } from "./mosquitto.ts";
import { median, quantile, round } from "./numbers.ts";
import { cpuMs, pause, temporaryFolder, until } from "./processes.ts";
import { Sluice } from "./sluice.ts";

const COLD_HANDLERS = 200;
const COLD_EVERY_MS = 25;
const KILLS = 7;
const PROBE_EVERY_MS = 2;
const PACKET_IDS = 65_535;

/** Outputs the event's own data, so that what arrives upstream tells when it was published. */
const echo = (filter: string): string => `
export const config = { topic: ${JSON.stringify(filter)}, to: ["cloud"] };
export default (event) => event.data;
`;

export async function coldHandler(): Promise<Readings> {
  await using folder = await temporaryFolder();
  const upstream = await Mosquitto.open(folder.path);
  const handlers: Record<string, string> = { warm: echo("warm") };
  for (let n = 0; n < COLD_HANDLERS; n++) handlers[`cold-${n}`] = echo(`cold/${n}`);
  const sluice = await Sluice.open({ folder: folder.path, upstreamPort: upstream.port, handlers });
  const arrivals = new Map<number, number>();
  const stop = await subscribe(upstream.port, "bench/#", (_, payload) => {
    arrivals.set(dataOf(payload).n, performance.now());
  });
  const device = await openClient(sluice.port, "bench-cold");
  try {
    let id = 0;
    const publish = (topic: string, n: number): number => {
      device.write(publishPacket(topic, Buffer.from(JSON.stringify({ n })), ++id));
      return performance.now();
    };
    // The gateway itself is to be warm: its connection upstream, and its code.
    for (let n = 1; n <= 200; n++) {
      publish("warm", -n);
      await pause(5);
    }
    await pause(500);
    const times: number[] = [];
    for (let n = 0; n < COLD_HANDLERS; n++) {
      const from = publish(`cold/${n}`, n);
      await pause(COLD_EVERY_MS);
      const arrived = await until(`output of cold handler ${n}`, () => arrivals.get(n), {
        everyMs: 1,
        by: sluice.process,
      });
      times.push(arrived - from);
    }
    const warm: number[] = [];
    for (let n = 0; n < COLD_HANDLERS; n++) {
      const from = publish("warm", 10_000 + n);
      await pause(10);
      warm.push((await until("output", () => arrivals.get(10_000 + n), { everyMs: 1, by: sluice.process })) - from);
    }
    return {
      "cold-handler": {
        value: round(quantile(times, 0.99), 2),
        detail: `p50 ${round(median(times), 2)} ms, worst ${round(Math.max(...times), 2)} ms; a warm one: p50 ${round(median(warm), 2)} ms, p99 ${round(quantile(warm, 0.99), 2)} ms`,
      },
    };
  } finally {
    stop();
    device.destroy();
    await sluice.close();
    await upstream.close();
  }
}

export async function runnerKilled(): Promise<Readings> {
  await using folder = await temporaryFolder();
  const upstream = await Mosquitto.open(folder.path);
  const sluice = await Sluice.open({
    folder: folder.path,
    upstreamPort: upstream.port,
    handlers: { echo: echo("probe/#") },
  });
  /** Number of the newest event whose output is upstream, and when it came. */
  let onArrival = (_n: number): void => {};
  const stop = await subscribe(upstream.port, "bench/#", (_, payload) => onArrival(dataOf(payload).n));
  const device = await openClient(sluice.port, "bench-probe");
  let published = 0;
  const probing = setInterval(() => {
    published++;
    // Keys of their own: what the dead runner had in hand may have to wait, others need not.
    const packet = publishPacket(
      `probe/${published % 50}`,
      Buffer.from(JSON.stringify({ n: published })),
      (published % PACKET_IDS) + 1,
    );
    device.write(packet);
  }, PROBE_EVERY_MS);
  try {
    await pause(2_000);
    const times: number[] = [];
    for (let kill = 0; kill < KILLS; kill++) {
      const atWork = await busiest(sluice.runnerPids());
      const last = published;
      const back = new Promise<number>((resolve, reject) => {
        const timer = setTimeout(
          () => reject(new Error(`no output within 20 s of the kill\n${sluice.process.output()}`)),
          20_000,
        );
        onArrival = (n) => {
          if (n <= last) return;
          clearTimeout(timer);
          resolve(performance.now());
        };
      });
      const from = performance.now();
      process.kill(atWork, "SIGKILL");
      times.push((await back) - from);
      await pause(1_500);
    }
    return {
      "runner-killed": {
        value: round(median(times), 1),
        detail: `of ${KILLS} kills: ${times.map((ms) => Math.round(ms)).join(", ")} ms; for the first there is none in reserve`,
      },
    };
  } finally {
    clearInterval(probing);
    stop();
    device.destroy();
    await sluice.close();
    await upstream.close();
  }
}

/** The one that has work; another may be in reserve, or apart. */
async function busiest(pids: readonly number[]): Promise<number> {
  const before = pids.map(cpuMs);
  await pause(300);
  const had = pids.map((pid, at) => cpuMs(pid) - (before[at] as number));
  return pids[had.indexOf(Math.max(...had))] as number;
}

function dataOf(payload: Buffer): { n: number } {
  return (JSON.parse(payload.toString("utf8")) as { data: { n: number } }).data;
}
