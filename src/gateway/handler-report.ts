/** What is told of each handler and route as it runs: its status, beside what its line counted. */
import type { HandlerStatus } from "../control/control.ts";
import type { HandlerAnswer } from "../control/handler-shapes.ts";
import type { LineFigures } from "../tasks/line-figures.ts";
import type { VersionFigures } from "../tasks/watch.ts";

export interface HandlerParts {
  readonly status: HandlerStatus;
  /** Undefined when nobody runs it. */
  readonly line: LineFigures | undefined;
  readonly isRoute: boolean;
  readonly memoryMax: number | undefined;
  readonly stateBytes: number;
}

/** Nobody needs more digits. */
const DIGITS = 3;

export function handlerReport({ status, line, isRoute, memoryMax, stateBytes }: HandlerParts): HandlerAnswer {
  const { name, version, removed, proven, quarantinedMs, failure, waiting, parked, running } = status;
  const own = { name, route: isRoute, version, removed, proven, quarantinedMs, failure, waiting, parked, running };
  const shared = { ...own, memoryMax, stateBytes, recent: recentOf(line) };
  if (line === undefined || isRoute) return shared;
  const { live, candidate } = line.versions;
  if (candidate === undefined) return { ...shared, live: versionOf(live) };
  const { share, shadow } = candidate;
  const told = shadow === undefined ? undefined : { ...shadow, samples: [...shadow.samples] };
  return { ...shared, live: versionOf(live), candidate: { ...versionOf(candidate), share, shadow: told } };
}

function recentOf(line: LineFigures | undefined): HandlerAnswer["recent"] {
  if (line === undefined) return { windowMs: 0, events: 0, failed: 0, perSecond: 0, cpuMs: 0, heapBytes: 0 };
  const { windowMs, events, failed, cpuMs, heapBytes, p50Ms, p99Ms } = line.recent;
  return {
    windowMs: Math.round(windowMs),
    events,
    failed,
    perSecond: windowMs <= 0 ? 0 : short((1000 * events) / windowMs),
    p50Ms: p50Ms === undefined ? undefined : short(p50Ms),
    p99Ms: p99Ms === undefined ? undefined : short(p99Ms),
    cpuMs: short(cpuMs),
    heapBytes,
  };
}

function versionOf({ version, done, failed, meanMs, probation }: VersionFigures): NonNullable<HandlerAnswer["live"]> {
  return { version, done, failed, meanMs: meanMs === undefined ? undefined : short(meanMs), probation };
}

function short(value: number): number {
  return value === 0 ? 0 : Number(value.toPrecision(DIGITS));
}
