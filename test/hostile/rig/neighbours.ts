/**
 * Rig: how much of the box other programs have. A test that measures times on a box that it shares has to know: where
 * others take the share s of the processors, everything takes 1 / (1 - s) as long.
 */
import { readFileSync } from "node:fs";
import type { GatewayProcess } from "../../stories/rig/gateway-process.ts";

/** In the kernel's ticks. */
interface Reading {
  readonly all: number;
  readonly idle: number;
  readonly ours: number;
}

export class Neighbours {
  readonly #gateway: GatewayProcess;
  #from: Reading;

  constructor(gateway: GatewayProcess) {
    this.#gateway = gateway;
    this.#from = this.#read();
  }

  /** The share of all processors that neither this process nor the gateway nor its runners had, since it was asked last. */
  share(): number {
    const now = this.#read();
    const { all, idle, ours } = this.#from;
    this.#from = now;
    const others = now.all - all - (now.idle - idle) - (now.ours - ours);
    return Math.min(0.95, Math.max(0, others / Math.max(1, now.all - all)));
  }

  #read(): Reading {
    const [line = ""] = readFileSync("/proc/stat", "latin1").split("\n");
    // user nice system idle iowait irq softirq steal; guests' time is in user's already.
    const ticks = line.trim().split(/\s+/).slice(1, 9).map(Number);
    const all = ticks.reduce((sum, each) => sum + each, 0);
    const runners = this.#gateway.children().reduce((sum, pid) => sum + ticksOf(pid, 0), 0);
    return {
      all,
      idle: (ticks[3] ?? 0) + (ticks[4] ?? 0),
      // Of runners that have ended the gateway has the time.
      ours: ticksOf(process.pid, 0) + ticksOf(this.#gateway.pid, 2) + runners,
    };
  }
}

/** Processor time of a process, and where `more` is 2 that of its children that have ended. */
function ticksOf(pid: number, more: 0 | 2): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields.slice(11, 13 + more).reduce((sum, each) => sum + Number(each), 0);
  } catch {
    return 0;
  }
}
