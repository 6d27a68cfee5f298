/**
 * Reading the books back: the journal's header and every consumer, from the checkpoint (two copies) and the commit
 * records since. Also what is missing: a number between the oldest commit kept and the last one known of, that has no
 * sound record, is a commit that the store lost.
 */
import { HANDLER } from "./consumer.ts";
import type { Consumer } from "./consumer.ts";
import { messageOf } from "../fault.ts";
import { readCheckpointRow, readCommitRow } from "./header.ts";
import type { Header } from "./header.ts";
import { keys } from "./keys.ts";
import type { Disk } from "./disk.ts";
import type { DamageReport } from "./damage.ts";

export interface Missing {
  readonly from: number;
  readonly to: number;
  /** Head of events before the first of them, as far as it is known. */
  readonly head: number | undefined;
}

export interface Books {
  /** Undefined: nothing was ever committed, or nothing is left. */
  readonly header: Header | undefined;
  readonly handlers: Map<number, Consumer>;
  readonly uplinks: Map<number, Consumer>;
  readonly missing: readonly Missing[];
  /** Damaged rows that were come upon, beyond the missing commits. */
  readonly reports: readonly DamageReport[];
  /** Keys of those rows. */
  readonly unsound: readonly Buffer[];
  /** Reads that the store could not finish. */
  readonly readErrors: number;
  /** Sizes of the commit records that are kept, oldest first. */
  readonly recordBytes: readonly number[];
}

const WALK_BYTES = 256 * 1024;

/** `witnessed`: the last commit known of from elsewhere, or 0. */
export async function readBooks(disk: Disk, witnessed: number): Promise<Books> {
  const handlers = new Map<number, Consumer>();
  const uplinks = new Map<number, Consumer>();
  const stamps = new Map<Consumer, number>();
  const reports: DamageReport[] = [];
  const unsound: Buffer[] = [];
  let readErrors = 0;
  let header: Header | undefined;

  const keep = (consumer: Consumer, commit: number): void => {
    const consumers = consumer.kind === HANDLER ? handlers : uplinks;
    const known = consumers.get(consumer.id);
    if (known !== undefined && (stamps.get(known) as number) >= commit) return;
    consumers.set(consumer.id, consumer);
    stamps.set(consumer, commit);
  };
  const broken = (where: string) => (error: unknown) => {
    readErrors++;
    reports.push({ where, from: -1, to: -1, what: messageOf(error) });
  };

  for (const copy of [0, 1] as const) {
    await disk.walk(
      keys.checkpoints(copy),
      (key, value) => {
        const row = readCheckpointRow(key, value);
        if (row === undefined) {
          unsound.push(key);
          reports.push({
            where: "progress",
            from: -1,
            to: -1,
            what: `copy ${copy + 1} of row ${key.toString("hex")} is damaged`,
          });
        } else if (row.at === "consumer") keep(row.consumer, row.commit);
        else if (header === undefined || row.header.commit > header.commit) header = row.header;
        return true;
      },
      broken("progress"),
    );
  }

  const missing: Missing[] = [];
  const recordBytes: number[] = [];
  const sound: { commit: number; head: number; bytes: number }[] = [];
  await disk.walk(
    { ...keys.commits(0), highWaterMarkBytes: WALK_BYTES },
    (key, value) => {
      const record = readCommitRow(key, value);
      if (record === undefined) {
        unsound.push(key);
        return true;
      }
      sound.push({ commit: record.header.commit, head: record.header.head, bytes: value.length });
      for (const { consumer, commit } of record.consumers) {
        // The record goes one day, and nobody may have touched the consumer until then: a checkpoint has to have it.
        consumer.unchecked = true;
        keep(consumer, commit);
      }
      if (header === undefined || record.header.commit > header.commit) header = record.header;
      return true;
    },
    broken("commits"),
    256,
  );
  const last = Math.max(header?.commit ?? 0, witnessed);
  let expected = header?.firstKept ?? 1;
  let head: number | undefined;
  for (const { commit, head: then, bytes } of sound) {
    if (commit < expected) continue;
    if (commit > expected) missing.push({ from: expected, to: commit - 1, head });
    recordBytes.push(bytes);
    expected = commit + 1;
    head = then;
  }
  if (expected <= last) missing.push({ from: expected, to: last, head });
  return { header, handlers, uplinks, missing, reports, unsound, readErrors, recordBytes };
}

export function missingCommits(books: Books): number {
  return books.missing.reduce((sum, { from, to }) => sum + to - from + 1, 0);
}

/** Number of the last commit that has a sound record, 0 when there is none. */
export async function lastCommit(disk: Disk): Promise<number> {
  let last = 0;
  await disk.walk(
    { ...keys.commits(0), reverse: true, limit: 8 },
    (key, value) => {
      const record = readCommitRow(key, value);
      if (record === undefined) return true;
      last = record.header.commit;
      return false;
    },
    () => undefined,
    1,
  );
  return last;
}
