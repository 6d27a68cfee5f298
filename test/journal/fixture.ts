/**
 * What the journal's tests share: a data folder of their own, events, a receiver that remembers, a clock to set.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import type { EventDraft } from "../../src/event.ts";
import type { Fault } from "../../src/fault.ts";
import { Journal } from "../../src/journal/journal.ts";
import type { JournalOptions, Ledger, OutboxFeed, Receiver, TaskFeed } from "../../src/journal/journal.ts";
import { createLog } from "../../src/log.ts";
import type { OutboxEntry, Outcome, Output, Task } from "../../src/task.ts";
import type { Clock } from "../../src/time.ts";

export const quiet = createLog({ level: "silent", pretty: false });

export const MB = 1024 * 1024;

export async function dataFolder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "sluice-journal-"));
  onTestFinished(() => rm(path, { recursive: true, force: true, maxRetries: 5 }));
  return path;
}

export class SetClock implements Clock {
  nowMs = 1_700_000_000_000;
  monotonicMs = 0;
  now(): number {
    return this.nowMs;
  }
  monotonic(): number {
    return this.monotonicMs;
  }
  pass(ms: number): void {
    this.nowMs += ms;
    this.monotonicMs += ms;
  }
}

export function optionsFor(path: string, more: Partial<JournalOptions> = {}): JournalOptions {
  const clock = { now: () => Date.now(), monotonic: () => performance.now() };
  return { path, sizeMaxBytes: 256 * MB, retainMs: 3_600_000, whenFull: "refuse", clock, log: quiet, ...more };
}

/** Opens a journal that is closed when the test ends, if it is still open then. */
export async function openJournal(path: string, more: Partial<JournalOptions> = {}): Promise<Journal> {
  const journal = await Journal.open(optionsFor(path, more));
  onTestFinished(() => journal.close());
  return journal;
}

export function draft(topic: string, payload: string | Uint8Array = "{}", more: Partial<EventDraft> = {}): EventDraft {
  return {
    kind: "topic",
    topic,
    device: "device",
    payload: typeof payload === "string" ? Buffer.from(payload) : payload,
    qos: 1,
    retain: false,
    hops: 0,
    timeMs: Date.now(),
    ...more,
  };
}

export class Remembering implements Receiver {
  readonly tags: number[] = [];
  readonly faults: Fault[] = [];
  committed(tag: number, fault: Fault | undefined): void {
    if (fault === undefined) this.tags.push(tag);
    else this.faults.push(fault);
  }
}

export function output(uplink: number, data: string, more: Partial<Output> = {}): Output {
  return {
    to: [uplink],
    data: Buffer.from(data),
    json: true,
    type: "test",
    subject: "",
    topic: "",
    qos: 1,
    retain: false,
    ...more,
  };
}

export function done(outputs: readonly Output[] = [], state?: string): Outcome {
  return { at: "done", outputs, state };
}

export const byTopic = (topic: string): string => topic;
export const nothing = (): void => undefined;

/** Takes `count` tasks, waiting for the feed where it has to read. */
export async function takeTasks(feed: TaskFeed, count: number): Promise<Task[]> {
  return takeAll(feed, count);
}

export async function takeEntries(feed: OutboxFeed, count: number): Promise<OutboxEntry[]> {
  return takeAll(feed, count);
}

async function takeAll<T>(feed: { take(): T | undefined }, count: number): Promise<T[]> {
  const taken: T[] = [];
  const deadline = Date.now() + 5000;
  while (taken.length < count && Date.now() < deadline) {
    const next = feed.take();
    if (next === undefined) await new Promise((resolve) => setTimeout(resolve, 1));
    else taken.push(next);
  }
  return taken;
}

/** Takes until nothing has come for a while. */
export async function drain<T>(feed: { take(): T | undefined }, quietMs = 40): Promise<T[]> {
  const taken: T[] = [];
  let last = Date.now();
  while (Date.now() - last < quietMs) {
    const next = feed.take();
    if (next === undefined) await new Promise((resolve) => setTimeout(resolve, 1));
    else {
      taken.push(next);
      last = Date.now();
    }
  }
  return taken;
}

export function balance({ events, uplinks }: Ledger): number[] {
  return [
    events.accepted - events.done - events.dead - events.expired - events.dropped - events.pending,
    ...Object.values(uplinks).map(
      (uplink) =>
        uplink.emitted - uplink.delivered - uplink.expired - uplink.dropped - uplink.rejected - uplink.waiting,
    ),
  ];
}

const nobody: Receiver = { committed: () => undefined };

/** Appends until it is told otherwise for good; returns how many were taken. */
export async function fill(journal: Journal, handler: number, max: number, bytes = 10_000): Promise<number> {
  let taken = 0;
  for (let attempt = 0; attempt < max * 3 && taken < max; attempt++) {
    const admission = journal.append(draft("t", Buffer.alloc(bytes)), [handler], nobody, taken);
    if (admission === "refused") break;
    if (admission === "taken") taken++;
    if (admission === "later" || taken % 20 === 0) await journal.synced();
    if (admission === "later") await new Promise((resolve) => setTimeout(resolve, 2));
  }
  await journal.synced();
  return taken;
}
