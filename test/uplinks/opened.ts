/** Opens uplinks for a test over an outbox in memory, and closes them after it. */
import { onTestFinished } from "vitest";
import { pino } from "pino";
import { systemClock } from "#src/time.ts";
import type { Clock } from "#src/time.ts";
import { uplinksSettings } from "#src/uplinks/settings.ts";
import { Uplinks } from "#src/uplinks/uplinks.ts";
import type { MemoryOutbox } from "../doubles/memory-outbox.ts";

export interface OpenedOptions {
  readonly outbox: MemoryOutbox;
  /** As in the config's `uplinks: cloud:`. */
  readonly settings: Record<string, unknown>;
  readonly folder?: string;
  readonly clock?: Clock;
  /** Log lines, as they were written. */
  readonly lines?: string[];
}

/** Quick waits, so that tests need not wait; everything else as an operator would have it. */
const QUICK = { backoff: "20ms", backoffMax: "80ms", timeout: "2s" };

export function openUplink(options: OpenedOptions): Uplinks {
  const lines = options.lines ?? [];
  const uplinks = Uplinks.open({
    uplinks: uplinksSettings.parse({ cloud: { ...QUICK, ...options.settings } }),
    journal: options.outbox,
    handlerName: (handler) => `handler-${handler}`,
    gatewayId: "edge-1",
    journalId: "0badcafe",
    folder: options.folder ?? "/",
    clock: options.clock ?? systemClock,
    random: Math.random,
    log: pino({ level: "debug" }, { write: (line: string) => void lines.push(line) }),
  });
  onTestFinished(() => uplinks.close(0));
  return uplinks;
}

/** The id that entry `seq` of a {@link MemoryOutbox} has on its way. */
export function idOf(outbox: MemoryOutbox, seq: number): string {
  const entry = outbox.entries[seq];
  if (entry === undefined) throw new Error(`no entry ${seq}`);
  return `0badcafe-${entry.eventSeq.toString(36)}.handler-${entry.handler}.${entry.position}`;
}
