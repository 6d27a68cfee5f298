/**
 * A preload that kills its process at one exact step: `node --import ./crash-at.ts bin/sluice.js …`.
 *
 * It wraps, from outside, what the gateway writes with (the store's batches, sockets of the broker, files) and sends
 * SIGKILL to its own process before, during or after the n-th of them, so that a story can put the kill at every
 * step without a hook in the product. SIGKILL to oneself does not return: nothing after it runs.
 *
 * Environment:
 * - `CRASH_AT=<step>:<when>:<nth>`, step and when as in {@link STEPS}, nth from 1; without it nothing is wrapped.
 * - `CRASH_MARK=<file>` gets the step's name just before the kill, the proof that it was reached.
 * - `CRASH_FILES=<text>`: the file steps count only files whose path holds this text.
 * - `CRASH_ROWS=<put|del>:<byte>`: commits count only when they put, or delete, a row of this table (journal/keys.ts).
 * - `CRASH_ARM=<file>`: nothing counts before this file is there: a story makes it when all is as it should be.
 *
 * Differs from a real crash: the threads of the store run on for the microseconds that the signal takes.
 */
import { createRequire, syncBuiltinESMExports } from "node:module";
import fs from "node:fs";
import net from "node:net";
import { isMainThread } from "node:worker_threads";

const STEPS = {
  /** A synced batch of the store. "during": handed to the store's thread, not yet finished. */
  commit: ["before", "during", "after"],
  /** A packet of the broker to a device. */
  puback: ["before", "after"],
  pubrec: ["before", "after"],
  pubcomp: ["before", "after"],
  /** A write to a file whose path holds CRASH_FILES. */
  write: ["before", "after"],
  /** fsync or fdatasync of such a file. */
  sync: ["before", "after"],
} as const;

type Step = keyof typeof STEPS;
type When = "before" | "during" | "after";

const PACKET_TYPES: Record<number, Step> = { 4: "puback", 5: "pubrec", 7: "pubcomp" };

/** Methods of a FileHandle. */
const WRITES = ["write", "writev", "appendFile", "writeFile"];
const SYNCS = ["sync", "datasync"];

interface Plan {
  readonly step: Step;
  readonly when: When;
  readonly nth: number;
}

const plan = parsePlan(process.env.CRASH_AT);
let passed = 0;

// Runners inherit the environment; only the gateway itself is to die.
if (plan !== undefined && isMainThread && process.env.CRASH_PID === undefined) {
  process.env.CRASH_PID = String(process.pid);
  wrapStore(plan);
  wrapSockets(plan);
  await wrapFiles(plan);
}

function parsePlan(text: string | undefined): Plan | undefined {
  if (text === undefined || text === "") return undefined;
  const [step, when, nth] = text.split(":") as [Step, When, string];
  if (!(STEPS[step] as readonly string[] | undefined)?.includes(when))
    throw new Error(`CRASH_AT: no such step: ${text}`);
  return { step, when, nth: Number(nth) };
}

function die(): void {
  if (process.env.CRASH_MARK !== undefined) fs.writeFileSync(process.env.CRASH_MARK, process.env.CRASH_AT ?? "");
  process.kill(process.pid, "SIGKILL");
  // The signal is on its way; do nothing more meanwhile.
  for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1000);
}

/** True when this is the step of the plan; `die` is then due at the plan's instant. */
function isDue({ step, nth }: Plan, reached: Step): boolean {
  const { CRASH_ARM } = process.env;
  if (step !== reached || (CRASH_ARM !== undefined && !fs.existsSync(CRASH_ARM))) return false;
  passed += 1;
  return passed === nth;
}

interface Operation {
  readonly type: "put" | "del";
  readonly key: Uint8Array;
}

/** Whether the batch has a row of those that are waited for. */
function hasRows(operations: readonly Operation[]): boolean {
  const { CRASH_ROWS } = process.env;
  if (CRASH_ROWS === undefined) return true;
  const [type, table] = CRASH_ROWS.split(":");
  return operations.some((one) => one.type === type && one.key[0] === Number(table));
}

function wrapStore(due: Plan): void {
  interface Store {
    _batch: (this: Store, operations: readonly Operation[], options: { sync?: boolean }) => Promise<void>;
  }
  const { Level } = createRequire(new URL("../../package.json", import.meta.url))("level") as {
    Level: { prototype: Store };
  };
  // Level inherits from ClassicLevel or is it: wrap where the method lies.
  let owner = Level.prototype;
  while (!Object.hasOwn(owner, "_batch")) owner = Object.getPrototypeOf(owner) as Store;
  const batch = owner._batch;
  owner._batch = async function (operations, options) {
    if (options.sync !== true || !hasRows(operations) || !isDue(due, "commit"))
      return await batch.call(this, operations, options);
    if (due.when === "before") die();
    const written = batch.call(this, operations, options);
    if (due.when === "during") die();
    await written;
    die();
  };
}

function wrapSockets(due: Plan): void {
  type Write = (this: net.Socket, chunk: unknown, ...rest: unknown[]) => boolean;
  const prototype = net.Socket.prototype as unknown as { write: Write };
  const write = prototype.write;
  prototype.write = function (chunk, ...rest) {
    // `server` is set on sockets that a server accepted: devices, and callers of the control API.
    const isAccepted = (this as { server?: unknown }).server instanceof net.Server;
    const first = chunk instanceof Uint8Array ? chunk[0] : undefined;
    const step = isAccepted && first !== undefined ? PACKET_TYPES[first >> 4] : undefined;
    if (step === undefined || !isDue(due, step)) return write.call(this, chunk, ...rest);
    if (due.when === "before") die();
    write.call(this, chunk, ...rest);
    die();
    return true;
  };
}

async function wrapFiles(due: Plan): Promise<void> {
  const counts = (fd: number): boolean => {
    try {
      return fs.readlinkSync(`/proc/self/fd/${fd}`).includes(process.env.CRASH_FILES ?? "\0");
    } catch {
      return false;
    }
  };
  wrapPromises(await fileHandlePrototype(), due, counts);
  wrapCallbacks(fs as unknown as Record<string, Method>, due, counts);
  syncBuiltinESMExports();
}

type Method = (...args: unknown[]) => unknown;

async function fileHandlePrototype(): Promise<Record<string, Method>> {
  const handle = await fs.promises.open("/dev/null");
  await handle.close();
  return Object.getPrototypeOf(handle) as Record<string, Method>;
}

function wrapPromises(prototype: Record<string, Method>, due: Plan, counts: (fd: number) => boolean): void {
  for (const name of [...WRITES, ...SYNCS]) {
    const method = prototype[name] as Method;
    const step: Step = SYNCS.includes(name) ? "sync" : "write";
    prototype[name] = async function (this: { fd: number }, ...args) {
      if (!counts(this.fd) || !isDue(due, step)) return await method.apply(this, args);
      if (due.when === "before") die();
      await method.apply(this, args);
      die();
    };
  }
}

/** fs.write(fd, …, callback), fs.writeSync(fd, …) and their like. */
function wrapCallbacks(module: Record<string, Method>, due: Plan, counts: (fd: number) => boolean): void {
  for (const name of ["write", "writev", "fsync", "fdatasync"]) {
    const step: Step = name.startsWith("write") ? "write" : "sync";
    const method = module[name] as Method;
    module[name] = (...args) => {
      if (!counts(args[0] as number) || !isDue(due, step)) return method(...args);
      if (due.when === "before") die();
      const callback = args.pop() as Method;
      return method(...args, (...answer: unknown[]) => {
        die();
        callback(...answer);
      });
    };
    const methodSync = module[`${name}Sync`] as Method;
    module[`${name}Sync`] = (...args) => {
      if (!counts(args[0] as number) || !isDue(due, step)) return methodSync(...args);
      if (due.when === "before") die();
      methodSync(...args);
      die();
    };
  }
}
