/** Experiments: memory at rest, memory of handlers, and a million tasks that wait. */
import type { Readings } from "./figures.ts";
import { Load, plantTopics } from "./load.ts";
import { openClient, publishPacket } from "./mqtt.ts";
import { Mosquitto } from "./mosquitto.ts";
import { round, thousands } from "./numbers.ts";
import { mappedTablesMb, memoryOf, pause, temporaryFolder, until } from "./processes.ts";
import type { Memory } from "./processes.ts";
import { ENRICH, Sluice } from "./sluice.ts";

const SETTLE_MS = 4_000;
/** By default a handler is idle after 5 minutes. */
const IDLE_SOON = "idle: 1s";
/** V8 keeps pages of isolates that are gone for 8 s. */
const RELEASE_MS = 12_000;
const FURTHER_HANDLERS = 200;
const BACKLOG = 1_000_000;
const FILL_MS_MAX = 300_000;

const small = (n: number): string => `
export const config = { topic: "small/${n}", to: ["cloud"] };
export default (event) => ({ n: event.data.n + ${n} });
`;

/** Never ends, so that everything behind it waits. */
const HELD = `
export const config = { topic: "plant/#", to: ["cloud"], timeout: "1h" };
export default () => new Promise(() => {});
`;

export async function idleMemory(figures: ReadonlySet<string>): Promise<Readings> {
  const one = await idle({ enrich: ENRICH }, 0);
  const readings: Record<string, { value: number; detail: string }> = {
    "idle-memory": { value: round(one.all.rssMb, 1), detail: told(one) },
  };
  if (figures.has("idle-handler")) {
    const handlers: Record<string, string> = {};
    for (let n = 0; n <= FURTHER_HANDLERS; n++) handlers[`small-${n}`] = small(n);
    const each = (few: Rest, many: Rest): number => round((many.all.rssMb - few.all.rssMb) / FURTHER_HANDLERS, 3);
    const few = await idle({ "small-0": small(0) }, 1);
    const many = await idle(handlers, FURTHER_HANDLERS + 1);
    const resting = await idle(handlers, FURTHER_HANDLERS + 1, IDLE_SOON);
    readings["idle-handler"] = {
      value: each(few, resting),
      detail: `${each(few, many)} MB until then; with 1: ${told(few)}; with ${FURTHER_HANDLERS + 1}: ${told(many)}, then ${told(resting)}`,
    };
  }
  return readings;
}

interface Rest {
  readonly all: Memory;
  readonly gateway: Memory;
  /** Runners, and whatever else the gateway keeps running. */
  readonly children: number;
}

async function idle(handlers: Record<string, string>, events: number, sandbox?: string): Promise<Rest> {
  await using folder = await temporaryFolder();
  const upstream = await Mosquitto.open(folder.path);
  const sluice = await Sluice.open({ folder: folder.path, upstreamPort: upstream.port, handlers, sandbox });
  try {
    if (events > 0) {
      const device = await openClient(sluice.port, "bench-once");
      for (let n = 0; n < events; n++) {
        device.write(publishPacket(`small/${n}`, Buffer.from(`{"n":${n}}`), n + 1));
        await pause(5);
      }
      const done = async (): Promise<true | undefined> =>
        (await sluice.ledger()).events.done >= events ? true : undefined;
      await until("outcomes", done, { by: sluice.process });
      device.destroy();
    }
    await pause(sandbox === undefined ? SETTLE_MS : RELEASE_MS);
    return restOf(sluice);
  } finally {
    await sluice.close();
    await upstream.close();
  }
}

export async function backlog(): Promise<Readings> {
  await using empty = await temporaryFolder();
  await using full = await temporaryFolder();
  const rested = await Sluice.open({ folder: empty.path, handlers: { held: HELD } });
  await pause(SETTLE_MS);
  const without = restOf(rested);
  await rested.close();

  const sluice = await Sluice.open({ folder: full.path, handlers: { held: HELD } });
  try {
    const load = await Load.open({ port: sluice.port, devices: 50, window: 100, topics: plantTopics(200) });
    load.limit(BACKLOG);
    const from = performance.now();
    const filled = async (): Promise<true | undefined> => ((await load.counts()).acked >= BACKLOG ? true : undefined);
    await until("a million acknowledgements", filled, { withinMs: FILL_MS_MAX, everyMs: 200, by: sluice.process });
    const fillS = (performance.now() - from) / 1000;
    const atFill = restOf(sluice);
    await load.close();
    await sluice.kill();

    const started = performance.now();
    sluice.launch();
    await until("PUBACK", () => acknowledged(sluice.port), { withinMs: 60_000, everyMs: 10, by: sluice.process });
    const acceptingS = (performance.now() - started) / 1000;
    await sluice.ready();
    const { pending } = (await sluice.ledger()).events;
    if (pending < BACKLOG) throw new Error(`only ${pending} tasks wait after the restart`);
    await pause(SETTLE_MS);
    const withTasks = restOf(sluice);
    const tablesMb = round(mappedTablesMb(sluice.pid), 0);
    return {
      "backlog-memory": {
        value: round(withTasks.all.rssMb - without.all.rssMb, 1),
        detail: `none waiting: ${told(without)}; ${thousands(pending)} waiting: ${told(withTasks)}, of it ${tablesMb} MB tables mapped from disk; right after accepting them in ${round(fillS, 1)} s: ${told(atFill)}`,
      },
      "backlog-start": { value: round(acceptingS, 2), detail: `${thousands(pending)} tasks waiting` },
    };
  } finally {
    await sluice.close();
  }
}

/** Publishes once on a connection of its own. Undefined when nobody listens yet. */
async function acknowledged(port: number): Promise<true | undefined> {
  const socket = await openClient(port, "bench-after").catch(() => undefined);
  if (socket === undefined) return undefined;
  return await new Promise((resolve) => {
    socket.once("error", () => resolve(undefined));
    socket.once("close", () => resolve(undefined));
    socket.once("data", (chunk: Buffer) => {
      resolve(chunk[0] === 0x40 ? true : undefined);
      socket.destroy();
    });
    socket.write(publishPacket("plant/line-0/machine-0/temperature", Buffer.from('{"c":1}'), 1));
  });
}

function restOf(sluice: Sluice): Rest {
  const pids = sluice.pids();
  return { all: memoryOf(pids), gateway: memoryOf([sluice.pid]), children: pids.length - 1 };
}

function told(rest: Rest): string {
  const inChildren = round(rest.all.rssMb - rest.gateway.rssMb, 0);
  return `${round(rest.gateway.rssMb, 0)} + ${inChildren} MB (${rest.children} child process, proportional share ${round(rest.all.pssMb, 0)} MB)`;
}
