/** One gateway under one load, measured at the mosquitto upstream. */
import type { LoadPlan } from "./load-process.ts";
import { Load } from "./load.ts";
import { Mosquitto } from "./mosquitto.ts";
import { cpuMs, pause, temporaryFolder } from "./processes.ts";
import { Sluice } from "./sluice.ts";

export interface UnderLoad {
  readonly handlers: Readonly<Record<string, string>>;
  readonly load: Omit<LoadPlan, "port">;
  readonly warmUpMs?: number;
  /** Events that have to be delivered before measuring begins, however long that takes, within WARM_UP_MS_MAX. */
  readonly warmUpEvents?: number;
  readonly measuredMs?: number;
}

export interface Throughput {
  /** Events acknowledged by the mosquitto upstream. */
  readonly perSecond: number;
  /** By how much what devices have an acknowledgement for outgrew what upstream has, while it was measured. */
  readonly lag: number;
  /** Processor time of gateway and runners for each delivered event, µs. */
  readonly cpuUs: number;
  /** The runners' part of it. */
  readonly runnerCpuUs: number;
  /** Part of one core that the mosquitto upstream used, 0 to 1: near 1 it is the one that is being measured. */
  readonly upstreamShare: number;
}

/** Events on their way, at most: accepted and not yet delivered. */
const BACKLOG_MAX = 40_000;
/** Each look costs the gateway a few milliseconds with 500 handlers, and Node-RED is not asked: rarely, then. */
const STEER_EVERY_MS = 250;
const WARM_UP_MS_MAX = 90_000;

export async function underLoad(plan: UnderLoad): Promise<Throughput> {
  await using folder = await temporaryFolder();
  const upstream = await Mosquitto.open(folder.path);
  const sluice = await Sluice.open({ folder: folder.path, upstreamPort: upstream.port, handlers: plan.handlers });
  const load = await Load.open({ port: sluice.port, ...plan.load });
  let steering = true;
  const steered = (async () => {
    while (steering) {
      load.limit((await delivered(sluice)) + BACKLOG_MAX);
      await pause(STEER_EVERY_MS);
    }
  })();
  try {
    await pause(plan.warmUpMs ?? 2_000);
    const warmBy = performance.now() + WARM_UP_MS_MAX;
    while (upstream.received.count < (plan.warmUpEvents ?? 0) && performance.now() < warmBy) await pause(100);
    const runners = sluice.runnerPids();
    const look = async () => ({
      ...(await upstream.nextCount()),
      acked: (await load.counts()).acked,
      gatewayMs: cpuMs(sluice.pid),
      runnersMs: runners.reduce((sum, pid) => sum + cpuMs(pid), 0),
      upstreamMs: cpuMs(upstream.process.pid),
    });
    const before = await look();
    await pause((plan.measuredMs ?? 4_000) - 1_000);
    const after = await look();
    const events = after.count - before.count;
    if (events === 0) throw new Error(`nothing arrived upstream\n${sluice.process.output()}`);
    const runnersMs = after.runnersMs - before.runnersMs;
    return {
      perSecond: (events * 1000) / (after.atMs - before.atMs),
      lag: after.acked - before.acked - events,
      cpuUs: ((after.gatewayMs - before.gatewayMs + runnersMs) * 1000) / events,
      runnerCpuUs: (runnersMs * 1000) / events,
      upstreamShare: (after.upstreamMs - before.upstreamMs) / (after.atMs - before.atMs),
    };
  } finally {
    steering = false;
    await steered;
    await load.close();
    await sluice.close();
    await upstream.close();
  }
}

async function delivered(sluice: Sluice): Promise<number> {
  return (await sluice.ledger()).uplinks["cloud"]?.delivered ?? 0;
}
