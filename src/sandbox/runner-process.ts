/** One runner as the gateway sees it: a process, its channel, and the end of both. */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { closeSync, openSync, readFileSync, readSync, realpathSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { setPriority } from "node:os";
import { dirname } from "node:path";
import type { Duplex } from "node:stream";
import { DESCRIPTORS, startedWith } from "./descriptors.ts";
import { FrameReader, jsonFrame } from "./wire.ts";
import type { Frame } from "./wire.ts";
import type { MemoryGroup, MemoryGroups } from "./cgroup.ts";
import type { Programs } from "./programs.ts";
import type { HelloBody } from "./runner.ts";

/** Whoever needs memory more than a handler does gets it: runners are the first to go. */
const OOM_SCORE_ADJUSTMENT = 800;

const STDERR_CHARS_MAX = 2000;
/** A channel ends with its process: so long after it, `exit` has told why. */
const EXIT_MS = 100;
const PAGE_BYTES = 4096;
/** Linux counts processor time in these, whatever its own clock does. */
const TICK_MS = 10;

export interface RunnerEvents {
  readonly frame: (frame: Frame) => void;
  /** Exactly once: it ended, was killed, or says what no runner of ours says. */
  readonly lost: (why: string, end: RunnerEnd) => void;
}

/** By itself, killed by us, or killed for its memory, by us or by the kernel. */
export type RunnerEnd = "ended" | "killed" | "outgrew";

export interface RunnerOptions {
  readonly command: RunnerCommand;
  /** How much its processes stand back when others need the processor. */
  readonly nice: number;
  /** undefined: the kernel does not limit their memory. */
  readonly groups: MemoryGroups | undefined;
}

/** How a runner is started. Tests put a program of their own here. */
export interface RunnerCommand {
  readonly args: readonly string[];
  readonly stdin: string;
  readonly guestCode: string;
  /** Texts of the web's globals, by the name in api/web.ts. */
  readonly webCode?: Programs["webCode"];
}

/**
 * Files: isolated-vm, what finds its binary, the file by which that tells one libc from the other, and the list of what it
 * has open. No writes, no child processes, no workers, no network, no environment. V8 counts WebAssembly memory apart from
 * the isolate's limit, hence a limit of its own. `--no-node-snapshot`: isolated-vm crashes at exit without it. Without
 * concurrent recompilation handlers are optimized where they run; optimized on another thread, code of isolates is often
 * not taken over for a long time (measured: 5 to 11 µs an event with it, 4.4 to 5.1 without).
 */
export function runnerCommand(programs: Programs): RunnerCommand {
  const library = realpathSync(createRequire(import.meta.url).resolve("isolated-vm/package.json"));
  const finder = realpathSync(createRequire(library).resolve("node-gyp-build/package.json"));
  const args = [
    "--no-node-snapshot",
    "--permission",
    "--allow-addons",
    `--allow-fs-read=${dirname(library)}/*`,
    `--allow-fs-read=${dirname(finder)}/*`,
    "--allow-fs-read=/etc/alpine-release",
    `--allow-fs-read=${DESCRIPTORS}`,
    "--disable-warning=PERM0001",
    "--wasm-max-mem-pages=256",
    "--max-semi-space-size=4",
    "--no-concurrent-recompilation",
    "--input-type=module",
    "-",
    library,
  ];
  return { args, stdin: programs.runnerCode, guestCode: programs.guestCode, webCode: programs.webCode };
}

export class RunnerProcess {
  readonly #child: ChildProcess;
  readonly #channel: Duplex;
  readonly #lost: RunnerEvents["lost"];
  readonly #group: MemoryGroup | undefined;
  readonly exited: Promise<void>;
  #over = false;
  #stderr = "";
  #statm: number | undefined;
  readonly #sample = Buffer.alloc(128);

  constructor({ command, nice, groups }: RunnerOptions, events: RunnerEvents) {
    this.#lost = events.lost;
    // Detached: a Ctrl-C at the terminal is for the gateway, which needs its runners while it drains.
    this.#child = spawn(process.execPath, command.args, {
      env: {},
      cwd: "/",
      detached: true,
      stdio: ["pipe", "ignore", "pipe", "pipe"],
    });
    this.#channel = this.#child.stdio[3] as Duplex;
    if (this.#child.pid !== undefined) {
      yieldTo(this.#child.pid, nice);
      this.#group = groups?.hold(this.#child.pid);
    }
    this.exited = new Promise((resolve) => {
      this.#child.once("exit", () => resolve());
      this.#child.once("error", () => resolve());
    });
    this.#child.once("exit", (code, signal) => {
      this.#end(`ended with ${signal ?? `exit code ${code}`}${this.#stderr}`, "ended");
      this.#group?.remove();
    });
    this.#child.once("error", (error) => this.#end(`could not be started: ${error.message}`, "ended"));
    this.#child.stderr?.on("data", (chunk: Buffer) => {
      this.#stderr = `${this.#stderr || ": "}${chunk.toString()}`.slice(0, STDERR_CHARS_MAX);
    });
    this.#child.stdin?.on("error", () => undefined); // It ended before it had read its program; `exit` tells why.
    this.#child.stdin?.end(command.stdin);
    const reader = new FrameReader();
    this.#channel.on("data", (chunk: Buffer) => {
      if (this.#over) return;
      const wrong = reader.push(chunk, (frame) => {
        if (!this.#over) events.frame(frame);
      });
      if (wrong !== undefined) this.kill(wrong);
    });
    this.#channel.on("error", () => undefined); // A reset channel is an ended runner; `exit` tells why.
    // One that lives on without its channel can never answer.
    this.#channel.on("close", () => setTimeout(() => this.kill("closed its channel"), EXIT_MS).unref());
    const greeting: HelloBody = { guestCode: command.guestCode, inherited: startedWith() };
    const hello = (): void => this.send(jsonFrame("hello", 0, greeting));
    // It is ready after that, so no handler is in it before it is in its group.
    if (this.#group === undefined) hello();
    else void this.#group.entered.then(hello);
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Frames of one turn leave together. `written` is called when this one has, or never will. */
  send(frame: Buffer, written?: () => void): void {
    if (this.#over) {
      written?.();
      return;
    }
    if (this.#channel.writableCorked === 0) {
      this.#channel.cork();
      queueMicrotask(() => this.#channel.uncork());
    }
    this.#channel.write(frame, written);
  }

  /** At once, and `lost` is told before this returns. Does nothing when it was lost before. */
  kill(why: string, end: RunnerEnd = "killed"): void {
    this.#child.kill("SIGKILL");
    this.#end(why, end);
  }

  /** Resident memory, or 0 where that cannot be known. */
  rssBytes(): number {
    if (this.#over) return 0;
    try {
      this.#statm ??= openSync(`/proc/${this.pid}/statm`, "r");
      const length = readSync(this.#statm, this.#sample, 0, this.#sample.length, 0);
      return Number(this.#sample.latin1Slice(0, length).split(" ")[1]) * PAGE_BYTES;
    } catch {
      return 0;
    }
  }

  /** Processor time that the main thread has had, or undefined where that cannot be known. */
  mainThreadMs(): number | undefined {
    try {
      const stat = readFileSync(`/proc/${this.pid}/task/${this.pid}/stat`, "latin1");
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
    } catch {
      return undefined;
    }
  }

  #end(why: string, end: RunnerEnd): void {
    if (this.#over) return;
    this.#over = true;
    if (this.#statm !== undefined) closeSync(this.#statm);
    this.#channel.destroy();
    // What the kernel has killed ends, or closes its channel, like any other; or it is seen, dying, at the size that it had.
    if (this.#group?.hasKilled() === true)
      this.#lost("took more memory than its cgroup may; the kernel killed it", "outgrew");
    else this.#lost(why, end);
  }
}

/** What a system does not let us say, or does not know, is left out: these are courtesies, not walls. */
function yieldTo(pid: number, nice: number): void {
  try {
    setPriority(pid, nice);
    writeFileSync(`/proc/${pid}/oom_score_adj`, String(OOM_SCORE_ADJUSTMENT));
  } catch {
    return;
  }
}
