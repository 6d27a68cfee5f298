/** A version of a handler as it comes into the sandbox, and what its isolates are told of it. */
import type { FetchGrant } from "../fetch.ts";
import { DEFAULT_LIMITS } from "../limits.ts";
import type { HandlerLimits } from "../limits.ts";
import { parseTopicFilter } from "../topic.ts";
import { webApisOf } from "./api/web.ts";
import type { GuestBundle } from "./isolates.ts";
import type { SandboxSettings } from "./settings.ts";

/** One version of a handler, built. */
export interface HandlerBundle {
  readonly name: string;
  /** The handler's journal id. */
  readonly id: number;
  readonly version: number;
  /** CommonJS text without imports, and its source map as JSON ("" when there is none). */
  readonly code: string;
  readonly sourceMap: string;
  readonly settings: {
    /** Longest time one event may take. */
    readonly timeoutMs: number;
    /** Heap of the isolate, built-ins aside. */
    readonly memoryBytes: number;
    /** Isolates that it may have in each runner, each with a batch of its own: for handlers that wait. Default 1. */
    readonly concurrency?: number;
    /** Its other budgets; what is left out is as in src/limits.ts. */
    readonly limits?: Partial<HandlerLimits>;
    /** ctx.params: plain JSON. */
    readonly params: unknown;
    /** Topic filters whose named levels are event.params; the first that matches counts. */
    readonly topics: readonly string[];
    /** Where it may fetch from; nowhere when left out. */
    readonly fetch?: readonly FetchGrant[];
    /** ctx.secrets: values by name. They are taken out of whatever it says. */
    readonly secrets?: Readonly<Record<string, string>>;
  };
}

interface Surroundings {
  readonly settings: SandboxSettings;
  readonly journalId: string;
  readonly gatewayId: string;
}

/** `webCode` has the texts of the web's globals, by the name in api/web.ts. */
export async function guestOf(
  bundle: HandlerBundle,
  { settings, journalId, gatewayId }: Surroundings,
  webCode: (name: string) => Promise<string>,
): Promise<GuestBundle> {
  const { name, version, code, settings: own } = bundle;
  const limits = limitsOf(bundle);
  return {
    code,
    web: await Promise.all(webApisOf(code).map(webCode)),
    timeoutMs: own.timeoutMs,
    cpuMs: Math.min(own.timeoutMs, limits.cpuMs ?? Infinity),
    memoryBytes: own.memoryBytes,
    concurrency: own.concurrency ?? 1,
    idleMs: settings.idle,
    settings: {
      handler: name,
      version,
      params: own.params,
      secrets: own.secrets ?? {},
      filters: own.topics.map(parseTopicFilter),
      journalId,
      gatewayId,
      memoryBytes: own.memoryBytes,
      sliceMs: settings.slice,
      limits: { ...limits, timeoutMs: own.timeoutMs },
    },
  };
}

export function limitsOf({ settings }: HandlerBundle): HandlerLimits {
  return { ...DEFAULT_LIMITS, ...settings.limits };
}
