/**
 * The witness beside the store: after each commit, before anybody is told of it, a few numbers are written to a file of
 * their own. A store that comes back with less than its witness has lost its tail, which LevelDB by itself would not say.
 *
 * The file has two slots that take turns, so that a write that breaks off leaves the other. It is not fsynced: after a
 * power cut it may say less than the store, never more.
 *
 *     0  u32  CRC-32 of the rest      10  u48  commit            28  u48  0
 *     4  6 bytes  journal id          16  u48  head of events    34  u16  uplinks
 *                                     22  u48  tasks accepted    36  per uplink: u16 id, u48 head, u48 emitted
 */
import { closeSync, constants, fsyncSync, openSync, readFileSync, writeSync } from "node:fs";
import { crc32 } from "node:zlib";

const SLOT_BYTES = 4096;
const UPLINK_BYTES = 8;
const HEADER_BYTES = 36;
const UPLINKS_MAX = Math.floor((SLOT_BYTES - HEADER_BYTES) / UPLINK_BYTES);

export interface Witness {
  readonly id: string;
  readonly commit: number;
  readonly head: number;
  /** Tasks, over all handlers. */
  readonly accepted: number;
  readonly uplinks: readonly { readonly id: number; readonly head: number }[];
}

export type MarkRead =
  | { readonly at: "absent" }
  | { readonly at: "read"; readonly witness: Witness; readonly damaged: boolean }
  | { readonly at: "damaged"; readonly bytes: Buffer };

export function readMark(path: string): MarkRead {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch {
    return { at: "absent" };
  }
  const slots = [0, 1].map((slot) => readSlot(bytes.subarray(slot * SLOT_BYTES, (slot + 1) * SLOT_BYTES)));
  const sound = slots.filter((slot) => slot !== undefined && slot !== "empty");
  const latest = sound.sort((a, b) => b.commit - a.commit)[0];
  const damaged = slots.includes(undefined) || bytes.length !== 2 * SLOT_BYTES;
  if (latest === undefined) return { at: "damaged", bytes };
  return { at: "read", witness: latest, damaged };
}

function readSlot(slot: Buffer): Witness | "empty" | undefined {
  if (slot.length < SLOT_BYTES) return undefined;
  if (slot.readUInt32BE(0) !== crc32(slot.subarray(4))) return undefined;
  if (slot.readUIntBE(10, 6) === 0) return "empty";
  const uplinks = Array.from({ length: slot.readUInt16BE(34) }, (_, i) => {
    const at = HEADER_BYTES + i * UPLINK_BYTES;
    return { id: slot.readUInt16BE(at), head: slot.readUIntBE(at + 2, 6) };
  });
  return {
    id: slot.toString("hex", 4, 10),
    commit: slot.readUIntBE(10, 6),
    head: slot.readUIntBE(16, 6),
    accepted: slot.readUIntBE(22, 6),
    uplinks,
  };
}

export class Mark {
  readonly #fd: number;
  readonly #slot = Buffer.alloc(SLOT_BYTES);
  #turn = 0;
  failures = 0;

  /** Creates the file in its full size, so that later writes need no room. */
  constructor(path: string) {
    this.#fd = openSync(path, MARK_FLAGS, 0o600);
    this.#slot.writeUInt32BE(crc32(this.#slot.subarray(4)), 0);
  }

  /** Writes both slots. Called once at start, before anything is committed. */
  begin(witness: Witness): void {
    this.write(witness);
    this.write(witness);
  }

  write(witness: Witness): void {
    const slot = this.#slot;
    slot.write(witness.id, 4, 6, "hex");
    slot.writeUIntBE(witness.commit, 10, 6);
    slot.writeUIntBE(witness.head, 16, 6);
    slot.writeUIntBE(witness.accepted, 22, 6);
    const count = Math.min(witness.uplinks.length, UPLINKS_MAX);
    slot.writeUInt16BE(count, 34);
    let at = HEADER_BYTES;
    for (let i = 0; i < count; i++) {
      const uplink = witness.uplinks[i] as Witness["uplinks"][number];
      at = slot.writeUInt16BE(uplink.id, at);
      at = slot.writeUIntBE(uplink.head, at, 6);
    }
    slot.writeUInt32BE(crc32(slot.subarray(4)), 0);
    try {
      writeSync(this.#fd, slot, 0, SLOT_BYTES, this.#turn * SLOT_BYTES);
      this.#turn = 1 - this.#turn;
    } catch {
      // Without its witness a commit is as durable as with it; only a loss of the store's tail would go unseen.
      this.failures++;
    }
  }

  close(): void {
    try {
      fsyncSync(this.#fd);
    } catch {
      this.failures++;
    }
    closeSync(this.#fd);
  }
}

/** Read and write, created if it is not there, never truncated. */
const MARK_FLAGS = constants.O_RDWR | constants.O_CREAT;
