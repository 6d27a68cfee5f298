/** Experiments: does an event cost more when there are many handlers, or many devices? */
import type { Readings } from "./figures.ts";
import { median, round, spread, thousands } from "./numbers.ts";
import { underLoad } from "./under-load.ts";
import type { Throughput, UnderLoad } from "./under-load.ts";

const ROUNDS = 2;
const HANDLERS = { few: 1, many: 500 };
const DEVICES = { few: 10, many: 2_000 };
const PACED_PER_SECOND = 8_000;
/** Each isolate compiles its own copy of the code: it takes some thousand events of its own to be at full speed. */
const WARM_UP_EVENTS = 3_000;
const WARM_UP_MS = 5_000;
const MEASURED_MS = 4_000;

const handlersFor = (count: number): Record<string, string> => {
  const handlers: Record<string, string> = {};
  for (let n = 0; n < count; n++) {
    handlers[`enrich-${n}`] = `
export const config = { topic: "flat/${n}/+/temperature", to: ["cloud"] };
export default (event) => {
  const data = event.data;
  data.f = data.c * 1.8 + 32;
  return data;
};
`;
  }
  return handlers;
};

/** The same 1,000 topics' worth of load, dealt out to `count` handlers. */
const topicsFor = (count: number): string[] =>
  Array.from({ length: 1_000 }, (_, n) => `flat/${n % count}/machine-${n}/temperature`);

export async function manyHandlers(): Promise<Readings> {
  const plan = (count: number): UnderLoad => ({
    handlers: handlersFor(count),
    load: { devices: 100, window: 50, topics: topicsFor(count) },
    warmUpMs: WARM_UP_MS,
    warmUpEvents: count * WARM_UP_EVENTS,
    measuredMs: MEASURED_MS,
  });
  return await compared(
    "many-handlers",
    plan(HANDLERS.few),
    plan(HANDLERS.many),
    `${HANDLERS.few} and ${HANDLERS.many} handlers`,
  );
}

export async function manyDevices(): Promise<Readings> {
  const plan = (devices: number): UnderLoad => ({
    handlers: handlersFor(1),
    load: { devices, window: 100, topics: topicsFor(1), perSecond: PACED_PER_SECOND },
    warmUpMs: WARM_UP_MS,
    measuredMs: MEASURED_MS,
  });
  return await compared(
    "many-devices",
    plan(DEVICES.few),
    plan(DEVICES.many),
    `${DEVICES.few} and ${thousands(DEVICES.many)} devices`,
  );
}

async function compared(name: string, few: UnderLoad, many: UnderLoad, what: string): Promise<Readings> {
  const rounds: { few: Throughput[]; many: Throughput[] } = { few: [], many: [] };
  for (let turn = 0; turn < ROUNDS; turn++) {
    rounds.few.push(await underLoad(few));
    rounds.many.push(await underLoad(many));
  }
  const costs = (all: Throughput[]): number[] => all.map((one) => one.cpuUs);
  const rate = (all: Throughput[]): string => thousands(median(all.map((one) => one.perSecond)));
  const cost = (all: Throughput[]): string =>
    `${round(median(costs(all)), 1)} µs ±${Math.round(spread(costs(all)) * 100)} % (runner ${round(median(all.map((one) => one.runnerCpuUs)), 1)})`;
  return {
    [name]: {
      value: round(median(costs(rounds.many)) / median(costs(rounds.few)), 3),
      detail: `${what}: ${cost(rounds.few)} at ${rate(rounds.few)}/s, ${cost(rounds.many)} at ${rate(rounds.many)}/s`,
    },
  };
}
