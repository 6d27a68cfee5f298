/**
 * What a journal is opened with, and what stands for what is left out.
 */
import type { Log } from "../log.ts";
import type { Clock } from "../time.ts";
import type { Limits } from "./core.ts";
import type { FreeBytes } from "./disk-room.ts";
import type { StoreFactory } from "./store.ts";

export interface JournalOptions {
  /** The data folder. */
  readonly path: string;
  readonly sizeMaxBytes: number;
  readonly retainMs: number;
  readonly whenFull: "refuse" | "drop-oldest";
  /** Bytes staged and not on disk, beyond which append() says `later`. 32 MB. */
  readonly stagedBytesMax?: number;
  /** What a feed holds in memory: 65,536 tasks, 8 MB. All feeds together stay near 64 MB. */
  readonly feedTasksMax?: number;
  readonly feedBytesMax?: number;
  /** Parked tasks of one handler, 10,000 and 16 MB. At the limit the handler's feed hands out nothing. */
  readonly parkedMax?: number;
  readonly parkedBytesMax?: number;
  /** Dead letters, 10,000 and 64 MB, or a quarter of sizeMaxBytes if that is less. Beyond, the oldest are dropped, those of a handler that has more than half first. */
  readonly deadMax?: number;
  readonly deadBytesMax?: number;
  /** What tasks came to, kept for replays, 256 MB; 0: nothing. Beyond, the oldest go. */
  readonly recordsBytesMax?: number;
  /** State in memory, 32 MB. */
  readonly stateCacheBytesMax?: number;
  /** QoS 2 messages whose PUBREL has not come, 200,000. Beyond, further ones are refused. */
  readonly claimsMax?: number;
  /** How often what is old is looked for, 1,000 ms. */
  readonly sweepMs?: number;
  readonly clock: Clock;
  readonly log: Log;
  /** Tests inject faults, and disks. */
  readonly store?: StoreFactory;
  readonly freeBytes?: FreeBytes;
}

const MB = 1024 * 1024;
export const STATE_CACHE_BYTES_MAX = 32 * MB;
/** The widest that a consumer's progress may get: tasks between the oldest in hand and the newest. */
export const HAND_MAX = 16_384;

export function limitsOf(options: JournalOptions): Limits {
  return {
    sizeMaxBytes: options.sizeMaxBytes,
    retainMs: options.retainMs,
    whenFull: options.whenFull,
    stagedBytesMax: options.stagedBytesMax ?? 32 * MB,
    feedTasksMax: options.feedTasksMax ?? 65_536,
    feedBytesMax: options.feedBytesMax ?? 8 * MB,
    parkedMax: options.parkedMax ?? 10_000,
    parkedBytesMax: options.parkedBytesMax ?? 16 * MB,
    deadMax: options.deadMax ?? 10_000,
    // Nobody but a person lets go of them: they must not be what fills the journal for ever.
    deadBytesMax: Math.min(options.deadBytesMax ?? 64 * MB, Math.floor(options.sizeMaxBytes / 4)),
    claimsMax: options.claimsMax ?? 200_000,
    // Of events that go as soon as they are settled nothing is replayed.
    recordsBytesMax: options.retainMs === 0 ? 0 : (options.recordsBytesMax ?? 256 * MB),
  };
}
