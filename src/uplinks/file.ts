/**
 * Uplink kind `file`: newline-delimited JSON, appended and fsynced before anything is acknowledged, rotated by size.
 *
 * The file at `path` is the newest; `path.1` is the one before it, up to `path.<keep>`. A line that a crash cut short is
 * taken away when the file is opened, for its entry has no receipt and is written again.
 */
import { mkdir, open, rename, stat, unlink } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { z } from "zod";
import { Fault, messageOf } from "../fault.ts";
import { size } from "../quantity.ts";
import type { OutboxEntry } from "../task.ts";
import { deliverySettings } from "./delivery-settings.ts";
import { ENVELOPE_BYTES } from "./envelope.ts";
import { GrowingBuffer } from "./growing-buffer.ts";
import type { Uplink, UplinkContext, UplinkKind, Verdict } from "./uplink.ts";

const fileSettings = z.strictObject({
  kind: z.literal("file"),
  path: z
    .string()
    .min(1)
    .meta({ format: "path", description: "The file that outputs are appended to, one JSON line each." }),
  maxSize: size
    .prefault("64MB")
    .meta({ description: "At this size the file is renamed to path.1 and a new one begun." }),
  keep: z
    .int()
    .min(1)
    .max(10_000)
    .default(10)
    .meta({ description: "How many renamed files stay; older ones are deleted." }),
  ...deliverySettings,
});

export const fileKind: UplinkKind<typeof fileSettings> = {
  settings: fileSettings,
  open: (settings, context) => new FileUplink(settings, context),
};

type State =
  | { readonly at: "closed" }
  /** `size` bytes of it are whole lines. */
  | { readonly at: "open"; readonly handle: FileHandle; readonly inode: bigint; size: number };

const NEWLINE = 0x0a;
const SPACE = 0x20;
/** A torn line is looked for this far from the end; what is longer is kept and ended with a line feed. */
const TORN_LINE_MAX = 64 * 1024 * 1024;

class FileUplink implements Uplink {
  readonly window = 1;
  readonly batchCountMax = 1024;
  readonly batchBytesMax = 1024 * 1024;
  readonly #path: string;
  readonly #maxSize: number;
  readonly #keep: number;
  readonly #context: UplinkContext;
  #state: State = { at: "closed" };
  /** The work on the file that is going on; an aborted one may still hang in the kernel. */
  #work: Promise<unknown> = Promise.resolve();

  constructor(settings: z.output<typeof fileSettings>, context: UplinkContext) {
    this.#path = resolve(context.folder, settings.path);
    this.#maxSize = settings.maxSize;
    this.#keep = settings.keep;
    this.#context = context;
  }

  async send(batch: readonly OutboxEntry[], signal: AbortSignal): Promise<Verdict> {
    const lines = this.#lines(batch);
    const fault = await this.#alone(() => this.#append(lines), signal);
    return fault === undefined ? { acked: batch.length } : { acked: 0, fault };
  }

  async test(signal: AbortSignal): Promise<void> {
    const fault = await this.#alone(async () => void (await this.#opened()), signal);
    if (fault !== undefined) throw fault;
  }

  async close(): Promise<void> {
    await this.#alone(() => this.#shut(), undefined);
  }

  /** Runs `work` after what went before. Resolves with a fault when it fails, or as soon as `signal` aborts. */
  #alone(work: () => Promise<void>, signal: AbortSignal | undefined): Promise<Fault | undefined> {
    const begun = this.#work.then(() => {
      signal?.throwIfAborted();
      return work();
    });
    const ended = begun.then(
      () => undefined,
      (thrown: unknown) => this.#faultOf(thrown),
    );
    this.#work = ended;
    if (signal === undefined) return ended;
    return new Promise((settle) => {
      const abort = (): void => settle(this.#faultOf(signal.reason));
      signal.addEventListener("abort", abort, { once: true });
      void ended.then((fault) => {
        signal.removeEventListener("abort", abort);
        settle(fault);
      });
    });
  }

  #faultOf(thrown: unknown): Fault {
    if (thrown instanceof Fault) return thrown;
    return new Fault("UPLINK_FILE_FAILED", messageOf(thrown), { where: this.#path, cause: thrown });
  }

  #lines(batch: readonly OutboxEntry[]): Buffer {
    let estimate = 0;
    for (const entry of batch) estimate += entry.data.length + ENVELOPE_BYTES + 64;
    const into = new GrowingBuffer(estimate + 4096);
    for (const entry of batch) {
      const start = into.length;
      this.#context.envelopes.write(into, entry);
      if (entry.json) unbreak(into.bytes, start, into.length);
      into.reserve(1);
      into.bytes[into.length++] = NEWLINE;
    }
    return into.written();
  }

  async #append(lines: Buffer): Promise<void> {
    let file = await this.#opened();
    if (file.size > 0 && file.size + lines.length > this.#maxSize) {
      await this.#rotate();
      file = await this.#opened();
    }
    try {
      let written = 0;
      while (written < lines.length) {
        const { bytesWritten } = await file.handle.write(lines, written, lines.length - written, file.size + written);
        written += bytesWritten;
      }
      await file.handle.datasync();
      file.size += lines.length;
    } catch (thrown) {
      // What was written in part is not acknowledged; without this it would stand there twice. Opening repairs the rest.
      await file.handle.truncate(file.size).catch(() => undefined);
      await this.#shut().catch(() => undefined);
      throw thrown;
    }
  }

  /** The file, opened if it is not, and opened anew if somebody moved or deleted it. */
  async #opened(): Promise<State & { at: "open" }> {
    if (this.#state.at === "open") {
      const there = await stat(this.#path, { bigint: true }).catch(() => undefined);
      if (there?.ino === this.#state.inode) return this.#state;
      await this.#shut();
    }
    await mkdir(dirname(this.#path), { recursive: true });
    const { handle, created } = await openOrCreate(this.#path);
    try {
      if (created) await syncFolder(dirname(this.#path));
      const { size: before, ino } = await handle.stat({ bigint: true });
      const whole = await repair(handle, Number(before));
      if (whole !== Number(before)) {
        const { log, name } = this.#context;
        log.warn({ uplink: name, path: this.#path, bytes: Number(before) - whole }, "a torn last line was repaired");
      }
      this.#state = { at: "open", handle, inode: ino, size: whole };
      return this.#state;
    } catch (thrown) {
      await handle.close().catch(() => undefined);
      throw thrown;
    }
  }

  async #rotate(): Promise<void> {
    await this.#shut();
    await unlink(`${this.#path}.${this.#keep}`).catch(ignoreMissing);
    for (let i = this.#keep - 1; i >= 1; i--) {
      await rename(`${this.#path}.${i}`, `${this.#path}.${i + 1}`).catch(ignoreMissing);
    }
    await rename(this.#path, `${this.#path}.1`);
    await syncFolder(dirname(this.#path));
  }

  async #shut(): Promise<void> {
    const state = this.#state;
    this.#state = { at: "closed" };
    if (state.at === "open") await state.handle.close();
  }
}

/** Line feeds in JSON text are only ever space between tokens; a line may not have any. */
function unbreak(bytes: Buffer, from: number, to: number): void {
  for (let at = bytes.indexOf(NEWLINE, from); at >= 0 && at < to; at = bytes.indexOf(NEWLINE, at + 1)) {
    bytes[at] = SPACE;
  }
}

/** Not in append mode: an append after a torn write would leave a hole in the middle of the lines. */
async function openOrCreate(path: string): Promise<{ handle: FileHandle; created: boolean }> {
  try {
    return { handle: await open(path, "r+"), created: false };
  } catch (thrown) {
    ignoreMissing(thrown);
    return { handle: await open(path, "wx+"), created: true };
  }
}

/** Takes a torn last line away, or ends it when only its line feed is missing. Returns the size of the whole lines. */
async function repair(handle: FileHandle, fileBytes: number): Promise<number> {
  if (fileBytes === 0) return 0;
  let tail = Buffer.alloc(0);
  for (let from = fileBytes; from > 0 && tail.length < TORN_LINE_MAX;) {
    const chunk = Buffer.alloc(Math.min(65_536, from));
    from -= chunk.length;
    await handle.read(chunk, 0, chunk.length, from);
    const newline = chunk.lastIndexOf(NEWLINE);
    if (newline === chunk.length - 1 && tail.length === 0) return fileBytes;
    tail = Buffer.concat([newline < 0 ? chunk : chunk.subarray(newline + 1), tail]);
    if (newline >= 0 || from === 0) return mend(handle, fileBytes, tail);
  }
  return terminate(handle, fileBytes);
}

async function mend(handle: FileHandle, fileBytes: number, tail: Buffer): Promise<number> {
  try {
    // The first digits of a number are a number too, and another one; everything else has an end of its own.
    if (typeof JSON.parse(tail.toString()) === "number") throw new SyntaxError("it may go on");
    return await terminate(handle, fileBytes);
  } catch (thrown) {
    if (!(thrown instanceof SyntaxError)) throw thrown;
    await handle.truncate(fileBytes - tail.length);
    await handle.datasync();
    return fileBytes - tail.length;
  }
}

async function terminate(handle: FileHandle, fileBytes: number): Promise<number> {
  await handle.write("\n", fileBytes);
  await handle.datasync();
  return fileBytes + 1;
}

/** A new or renamed file is only there after a crash when its folder was synced. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

function ignoreMissing(thrown: unknown): void {
  if ((thrown as NodeJS.ErrnoException).code !== "ENOENT") throw thrown;
}
