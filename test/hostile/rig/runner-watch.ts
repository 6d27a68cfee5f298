/** Rig: what the runners of a gateway do while nobody asks them: how much memory they take, and when they end. */
import { readFileSync } from "node:fs";
import type { GatewayProcess } from "../../stories/rig/gateway-process.ts";

const LOOK_MS = 15;
const PAGE_BYTES = 4096;
/** Linux counts processor time in these. */
const TICK_MS = 10;

export interface Death {
  readonly pid: number;
  readonly firstMs: number;
  readonly atMs: number;
  /** Processor time that it has had since `reset`. */
  readonly busyMs: number;
}

interface Runner {
  /** When it was first seen. */
  readonly firstMs: number;
  busyMs: number;
  busyAtResetMs: number;
}

export class RunnerWatch {
  readonly deaths: Death[] = [];
  /** Highest resident memory of any runner since `reset`. */
  peakBytes = 0;
  readonly #gateway: GatewayProcess;
  readonly #runners = new Map<number, Runner>();
  /** Children that are no runners: the gateway's tools. */
  readonly #others = new Set<number>();
  readonly #timer: NodeJS.Timeout;

  constructor(gateway: GatewayProcess) {
    this.#gateway = gateway;
    this.#timer = setInterval(() => this.look(), LOOK_MS);
  }

  reset(): void {
    this.peakBytes = 0;
    for (const runner of this.#runners.values()) runner.busyAtResetMs = runner.busyMs;
  }

  look(): void {
    const nowMs = performance.now();
    if (!this.#gateway.isUp) return;
    const running = new Set<number>();
    for (const pid of this.#gateway.children()) {
      if (!this.#isRunner(pid)) continue;
      const bytes = residentBytes(pid);
      if (bytes === 0) continue; // Dead, and not buried yet.
      running.add(pid);
      const runner = this.#runners.get(pid) ?? { firstMs: nowMs, busyMs: 0, busyAtResetMs: 0 };
      this.#runners.set(pid, runner);
      runner.busyMs = Math.max(runner.busyMs, busyMs(pid));
      this.peakBytes = Math.max(this.peakBytes, bytes);
    }
    for (const [pid, { firstMs, busyMs: allMs, busyAtResetMs }] of this.#runners) {
      if (running.has(pid)) continue;
      this.#runners.delete(pid);
      this.deaths.push({ pid, firstMs, atMs: nowMs, busyMs: allMs - busyAtResetMs });
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  #isRunner(pid: number): boolean {
    if (this.#runners.has(pid)) return true;
    if (this.#others.has(pid)) return false;
    try {
      const words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
      if (words.includes("--permission")) return true;
      // Between fork and exec a child is still called what its parent is, and for a moment nothing.
      if (words.length > 1 && !words.includes("run")) this.#others.add(pid);
    } catch {
      // It is gone.
    }
    return false;
  }
}

function residentBytes(pid: number): number {
  try {
    return Number(readFileSync(`/proc/${pid}/statm`, "utf8").split(" ")[1]) * PAGE_BYTES;
  } catch {
    return 0;
  }
}

function busyMs(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
  } catch {
    return 0;
  }
}
