/**
 * What the journal knows of itself, and the commit record that carries it: one row a commit, numbered without gaps, with
 * the journal's own figures and the blob of every consumer that the commit changed. The last few thousand are kept: a
 * number that is missing among them is a commit that the store lost, whatever else still looks whole.
 */
import { Consumer } from "./consumer.ts";
import { Fault } from "../fault.ts";
import { keys } from "./keys.ts";
import { isSealed, seal, SEAL_BYTES } from "./seal.ts";

/** Raised when the layout on disk changes so that older programs must not touch it. 2: rows of state have a head. 3: an event may have a request. */
export const FORMAT = 3;

export interface Header {
  /** 12 hex characters, drawn with the data folder. */
  id: string;
  /** Number of the commit that carries this. */
  commit: number;
  /** Commit of the last checkpoint: later commit records have all that changed since. */
  checkpoint: number;
  /** The oldest commit record that is kept. */
  firstKept: number;
  /** Events: next sequence number, the first on disk, bytes of all pages. */
  head: number;
  tail: number;
  bytes: number;
  /** Dead letters: id of the next, bytes. */
  deadNext: number;
  deadBytes: number;
  dead: number;
  stateBytes: number;
  /** Tasks that were acknowledged and whose very record of arrival was lost with damage: accepted, and dropped. */
  lost: number;
  /** Ids that the next new handler and uplink get: an id is never used again, whatever became of its name. */
  handlerNext: number;
  uplinkNext: number;
}

const HEADER_BYTES = 1 + 6 + 13 * 6;

export function newHeader(id: string): Header {
  return {
    id,
    commit: 0,
    checkpoint: 0,
    firstKept: 1,
    head: 1,
    tail: 1,
    bytes: 0,
    deadNext: 1,
    deadBytes: 0,
    dead: 0,
    stateBytes: 0,
    lost: 0,
    handlerNext: 1,
    uplinkNext: 1,
  };
}

function writeHeader(header: Header, into: Buffer, at: number): number {
  at = into.writeUInt8(FORMAT, at);
  at += into.write(header.id.padEnd(12, "0"), at, 6, "hex");
  for (const value of numbersOf(header)) at = into.writeUIntBE(Math.max(0, value), at, 6);
  return at;
}

function numbersOf(header: Header): readonly number[] {
  return [
    header.commit,
    header.checkpoint,
    header.firstKept,
    header.head,
    header.tail,
    header.bytes,
    header.deadNext,
    header.deadBytes,
    header.dead,
    header.stateBytes,
    header.lost,
    header.handlerNext,
    header.uplinkNext,
  ];
}

function readHeader(from: Buffer, at: number): Header {
  const format = from.readUInt8(at);
  if (format > FORMAT) {
    throw new Fault("JOURNAL_FORMAT", `The journal has format ${format}; this program reads formats up to ${FORMAT}.`);
  }
  const id = from.toString("hex", at + 1, at + 7);
  const number = (i: number): number => from.readUIntBE(at + 7 + 6 * i, 6);
  return {
    id,
    commit: number(0),
    checkpoint: number(1),
    firstKept: number(2),
    head: number(3),
    tail: number(4),
    bytes: number(5),
    deadNext: number(6),
    deadBytes: number(7),
    dead: number(8),
    stateBytes: number(9),
    lost: number(10),
    handlerNext: number(11),
    uplinkNext: number(12),
  };
}

export interface CommitRecord {
  readonly header: Header;
  readonly consumers: readonly { readonly consumer: Consumer; readonly commit: number }[];
}

export interface Row {
  readonly key: Buffer;
  readonly value: Buffer;
}

let scratch = Buffer.allocUnsafeSlow(16 * 1024);

/** The row of the commit that `header` numbers, with the blobs of `consumers`. */
export function commitRow(header: Header, consumers: readonly Consumer[]): Row {
  let bytes = SEAL_BYTES + HEADER_BYTES;
  for (const consumer of consumers) bytes += consumer.writtenBytes;
  if (bytes > scratch.length) scratch = Buffer.allocUnsafeSlow(bytes * 2);
  let at = writeHeader(header, scratch, SEAL_BYTES);
  for (const consumer of consumers) at = consumer.write(scratch, at, header.commit);
  const key = keys.commit(header.commit);
  return { key, value: seal(key, Buffer.from(scratch.subarray(0, at))) };
}

/** Undefined when the row is damaged. */
export function readCommitRow(key: Buffer, value: Buffer): CommitRecord | undefined {
  if (!isSealed(key, value)) return undefined;
  const header = readHeader(value, SEAL_BYTES);
  const consumers: { consumer: Consumer; commit: number }[] = [];
  let at = SEAL_BYTES + HEADER_BYTES;
  while (at < value.length) {
    const read = Consumer.read(value, at);
    consumers.push(read);
    at = read.at;
  }
  return { header, consumers };
}

/** Both copies of the checkpoint rows of the journal itself and of `consumers`. */
export function checkpointRows(header: Header, consumers: readonly Consumer[]): Row[] {
  const rows: Row[] = [];
  for (const copy of [0, 1] as const) {
    const key = keys.checkpoint(copy, 0, 0);
    const value = Buffer.alloc(SEAL_BYTES + HEADER_BYTES);
    writeHeader(header, value, SEAL_BYTES);
    rows.push({ key, value: seal(key, value) });
    for (const consumer of consumers) {
      const consumerKey = keys.checkpoint(copy, consumer.kind, consumer.id);
      const blob = Buffer.alloc(SEAL_BYTES + consumer.writtenBytes);
      const end = consumer.write(blob, SEAL_BYTES, header.commit);
      rows.push({ key: consumerKey, value: seal(consumerKey, blob.subarray(0, end)) });
    }
  }
  return rows;
}

export type CheckpointRow =
  | { readonly at: "journal"; readonly header: Header }
  | { readonly at: "consumer"; readonly consumer: Consumer; readonly commit: number };

export function readCheckpointRow(key: Buffer, value: Buffer): CheckpointRow | undefined {
  if (!isSealed(key, value)) return undefined;
  if (key[1] === 0) return { at: "journal", header: readHeader(value, SEAL_BYTES) };
  const { consumer, commit } = Consumer.read(value, SEAL_BYTES);
  return { at: "consumer", consumer, commit };
}
