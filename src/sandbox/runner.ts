/**
 * The runner: a child process that holds isolates and is expendable. It has no environment, no file system, no child
 * processes and one descriptor, the channel to the gateway; when that ends, so does it.
 *
 * Started as `node <flags> - <file to resolve isolated-vm from>` with its own bundled text on stdin (see programs.ts).
 */
import { createRequire } from "node:module";
import { Socket } from "node:net";
import type ivm from "isolated-vm";
import { Asking } from "./asking.ts";
import { closeInherited } from "./descriptors.ts";
import type { Inherited } from "./descriptors.ts";
import { failed } from "./guest-isolate.ts";
import type { Stuck } from "./guest-isolate.ts";
import type { GuestBundle, Loaded } from "./isolates.ts";
import { VersionPool } from "./version-pool.ts";
import { FrameReader, jsonFrame, ranFrame, readRunHead, textFrame } from "./wire.ts";
import type { Frame } from "./wire.ts";

const CHANNEL_FD = 3;
/** How often idle isolates are looked for, and whether there is room. */
const REST_EVERY_MS = 1000;
const BEAT_EVERY_MS = 250;
/** Of what the gateway lets this process have: from here on isolates are given up, a few at a time. */
const ROOM_SHARE = 0.75;
const YIELD_SHARE = 0.1;
/** V8 keeps the pages of isolates that are gone for 8 s: what was given up shows only then. Beyond this share nobody waits. */
const YIELD_EVERY_MS = 10_000;
const TIGHT_SHARE = 0.9;

const library = createRequire(process.argv[2] as string)("isolated-vm") as typeof ivm;
const channel = new Socket({ fd: CHANNEL_FD, readable: true, writable: true });
const reader = new FrameReader();
const versions = new Map<number, VersionPool>();
/** By the request id of a batch. */
const askings = new Map<number, Asking>();
let guestCode = "";
let rssBytesMax = Infinity;
let yieldedMs = -Infinity;
/** Requests that are not answered. */
let open = 0;
let beating: NodeJS.Timeout | undefined;
const figures: { -readonly [Name in keyof Beat]: Beat[Name] } = { alive: 0, rested: 0, yielded: 0 };

export interface HelloBody {
  readonly guestCode: string;
  /** What the process may have open without needing it, beside files. */
  readonly inherited: readonly Inherited[];
}

export interface LoadBody {
  /** Drawn by the gateway for each load; what `run` and `unload` name. */
  readonly serial: number;
  readonly bundle: GuestBundle;
  /** Its isolate is built when it is needed, and nothing is answered. */
  readonly lazy: boolean;
  /** What the process may have with this version in it; beyond that it is killed. */
  readonly rssBytesMax: number;
}

/** What a runner tells of itself: while it has work, that its main thread is well. */
export interface Beat {
  /** Isolates at the moment. */
  readonly alive: number;
  /** Isolates given up so far because nothing ran in them, and because memory was short. */
  readonly rested: number;
  readonly yielded: number;
}

export type UnloadBody = Pick<LoadBody, "serial" | "rssBytesMax">;

/** Frames of one turn leave together. */
function say(frame: Buffer): void {
  if (channel.writableCorked === 0) {
    channel.cork();
    setImmediate(() => channel.uncork());
  }
  channel.write(frame);
}

/** A module that cannot be stopped keeps its thread for ever: the process goes with it, once that is said. */
function sayLoaded(kind: "loaded" | "inspected", id: number, loaded: Loaded | Stuck): void {
  if (loaded.at !== "stuck") {
    say(jsonFrame(kind, id, loaded));
    return;
  }
  const failure = failed("SANDBOX_TIMEOUT", "the module took too long to load, and could not be stopped");
  say(jsonFrame(kind, id, { at: "failed", failure }));
  setImmediate(() => setImmediate(() => die(new Error(failure.message))));
}

async function obey(frame: Frame): Promise<void> {
  switch (frame.kind) {
    case "hello": {
      const hello = JSON.parse(frame.body.toString()) as HelloBody;
      closeInherited(hello.inherited);
      guestCode = hello.guestCode;
      say(jsonFrame("ready", 0, null));
      return;
    }
    case "load": {
      const { serial, bundle, lazy, rssBytesMax: newest } = JSON.parse(frame.body.toString()) as LoadBody;
      rssBytesMax = newest;
      const pool = versions.get(serial) ?? new VersionPool(library, guestCode, bundle);
      versions.set(serial, pool);
      // One that failed to load stays until it is unloaded.
      if (!lazy) sayLoaded("loaded", frame.id, await pool.load());
      return;
    }
    case "inspect": {
      const pool = new VersionPool(library, guestCode, JSON.parse(frame.body.toString()) as GuestBundle);
      const loaded = await pool.load();
      pool.close();
      sayLoaded("inspected", frame.id, loaded);
      return;
    }
    case "unload": {
      const { serial, rssBytesMax: newest } = JSON.parse(frame.body.toString()) as UnloadBody;
      rssBytesMax = newest;
      versions.get(serial)?.close();
      versions.delete(serial);
      return;
    }
    case "run":
      await run(frame);
      return;
    case "fetched":
      askings.get(frame.id)?.arrive(frame.body);
      return;
    default:
      throw new Error(`a runner is not told ${frame.kind}`);
  }
}

async function run(frame: Frame): Promise<void> {
  const head = readRunHead(frame.body);
  const pool = versions.get(head.serial);
  if (pool === undefined) throw new Error(`no version is loaded as ${head.serial}`);
  const asking = new Asking((ask) => say(textFrame("ask", frame.id, ask)));
  askings.set(frame.id, asking);
  const { ran, spent } = await pool.run(head, asking);
  askings.delete(frame.id);
  if (ran.at === "stuck") say(jsonFrame("stuck", frame.id, { index: ran.index }));
  else say(ranFrame(frame.id, ran.lines, ran.at === "lost" ? { ...ran.failure, index: ran.index } : undefined, spent));
}

/**
 * Garbage of many busy isolates adds up: each collects its own only when it nears its own limit. A few give up theirs,
 * those whose turn was longest ago first, before the gateway would have to kill all. One alone is not asked: what it has
 * is its own, up to its limit.
 */
function yieldSome(): void {
  const alive = [...versions].filter(([, pool]) => pool.alive > 0);
  if (alive.length < 2) return;
  for (const [serial, pool] of alive.slice(0, Math.ceil(alive.length * YIELD_SHARE))) {
    figures.yielded += pool.alive;
    pool.yieldMemory();
    versions.delete(serial);
    versions.set(serial, pool);
  }
}

function beat(): void {
  figures.alive = 0;
  for (const pool of versions.values()) figures.alive += pool.alive;
  say(jsonFrame("beat", 0, figures));
}

/** Work that has to be answered: for as long, the main thread says every now and then that it is well. */
async function answering(work: Promise<void>): Promise<void> {
  open++;
  beating ??= setInterval(beat, BEAT_EVERY_MS);
  try {
    await work;
  } finally {
    open--;
    if (open === 0) {
      clearInterval(beating);
      beating = undefined;
    }
  }
}

/** A runner in doubt ends at once, and the gateway replaces it. Not by exit(): that waits for threads. */
function die(error: unknown): void {
  process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`, () => {
    process.kill(process.pid, "SIGKILL");
  });
}

setInterval(() => {
  const { rested } = figures;
  for (const pool of versions.values()) figures.rested += pool.rest();
  if (figures.rested > rested) beat();
  const share = process.memoryUsage.rss() / rssBytesMax;
  const nowMs = performance.now();
  if (share < ROOM_SHARE || (share < TIGHT_SHARE && nowMs - yieldedMs < YIELD_EVERY_MS)) return;
  yieldedMs = nowMs;
  yieldSome();
}, REST_EVERY_MS);
process.on("uncaughtException", die);
process.on("unhandledRejection", die);
channel.on("data", (chunk: Buffer) => {
  const wrong = reader.push(chunk, (frame) => {
    answering(obey(frame)).catch(die);
  });
  if (wrong !== undefined) die(new Error(wrong));
});
channel.on("end", () => process.kill(process.pid, "SIGKILL"));
channel.on("error", () => process.kill(process.pid, "SIGKILL"));
