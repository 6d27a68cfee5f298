/**
 * Rig: the well-behaved device beside the hostile ones. It publishes at a fixed rate whatever comes back, and each
 * message's way from the publish to the line at the far end is timed.
 */
import { closeSync, openSync, readSync } from "node:fs";
import { Device } from "../../stories/rig/device.ts";
import { reading } from "../../stories/rig/fleet.ts";
import { until } from "../../stories/rig/wait.ts";

export interface SteadyLoadOptions {
  readonly port: number;
  /** The file that the good handler's uplink writes. */
  readonly cloudFile: string;
  readonly ratePerSecond: number;
  readonly id?: string;
  readonly topic?: string;
}

export interface Passage {
  readonly sentMs: number;
  readonly latencyMs: number;
}

const LOOK_MS = 4;
const INFLIGHT_MAX = 2000;

export class SteadyLoad {
  readonly device: Device;
  readonly passages: Passage[] = [];
  readonly #options: SteadyLoadOptions;
  readonly #id: string;
  /** When message n was first sent. */
  readonly #sentMs: number[] = [];
  readonly #chunk = Buffer.alloc(1 << 20);
  #file: number | undefined;
  #rest = "";
  #timers: NodeJS.Timeout[] = [];
  #startedMs = 0;

  constructor(options: SteadyLoadOptions) {
    this.#options = options;
    this.#id = options.id ?? "good-0";
    this.device = new Device({
      port: options.port,
      id: this.#id,
      topic: options.topic ?? `load/${this.#id}`,
      qos: 1,
      inflightMax: INFLIGHT_MAX,
      payload: (n) => {
        this.#sentMs[n] ??= performance.now();
        return JSON.stringify(reading(this.#id, n));
      },
    });
  }

  async start(): Promise<void> {
    this.device.connect();
    await until("the good device online", () => this.device.isOnline, { withinMs: 10_000 });
    this.#startedMs = performance.now();
    this.#timers = [setInterval(() => this.#publish(), LOOK_MS), setInterval(() => this.#look(), LOOK_MS)];
  }

  /** No new messages; resolves when all are acknowledged and have arrived. */
  async settled(withinMs = 30_000): Promise<void> {
    clearInterval(this.#timers[0]);
    await until(
      "the good device's outputs",
      () => this.device.inFlight === 0 && this.passages.length >= this.device.published,
      { withinMs, tell: () => ({ published: this.device.published, arrived: this.passages.length }) },
    );
  }

  promises(): Map<string, readonly number[]> {
    return new Map([[this.#id, [...this.device.acked]]]);
  }

  /** Resolves when all that has been acknowledged so far has arrived; messages go on being sent. */
  async caughtUp(withinMs = 30_000): Promise<void> {
    const goal = this.device.acked.length;
    await until("the good device's outputs", () => this.passages.length >= goal, { withinMs });
  }

  /** Latencies of what was sent between the two times, and arrived. */
  latencies(fromMs: number, untilMs: number): number[] {
    return this.passages.filter(({ sentMs }) => sentMs >= fromMs && sentMs < untilMs).map(({ latencyMs }) => latencyMs);
  }

  /** What arrived between the two times, whenever it was sent. */
  arrivals(fromMs: number, untilMs: number): readonly Passage[] {
    return this.passages.filter(({ sentMs, latencyMs }) => {
      const cameMs = sentMs + latencyMs;
      return cameMs >= fromMs && cameMs < untilMs;
    });
  }

  [Symbol.dispose](): void {
    for (const timer of this.#timers) clearInterval(timer);
    if (this.#file !== undefined) closeSync(this.#file);
    this.device.drop();
  }

  #publish(): void {
    const due = Math.floor(((performance.now() - this.#startedMs) * this.#options.ratePerSecond) / 1000);
    while (this.device.published < due && this.device.hasRoom) this.device.publishNext();
  }

  #look(): void {
    try {
      this.#file ??= openSync(this.#options.cloudFile, "r");
    } catch {
      return; // Nothing has been written yet.
    }
    const bytes = readSync(this.#file, this.#chunk, 0, this.#chunk.length, null);
    if (bytes === 0) return;
    const nowMs = performance.now();
    const lines = (this.#rest + this.#chunk.toString("utf8", 0, bytes)).split("\n");
    this.#rest = lines.pop() ?? "";
    for (const line of lines) {
      const { device, n } = (JSON.parse(line) as { data: { device: string; n: number } }).data;
      const sentMs = device === this.#id ? this.#sentMs[n] : undefined;
      if (sentMs === undefined) continue;
      this.passages.push({ sentMs, latencyMs: nowMs - sentMs });
    }
  }
}
