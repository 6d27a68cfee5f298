/**
 * Rig: many devices under one bounded load, and what they were promised.
 *
 * Each message's payload can be told from every other's and carries a checksum of its own, so that whoever reads it at
 * the far end knows whose it is and whether a byte of it changed on the way.
 */
import { createHash } from "node:crypto";
import { Device } from "./device.ts";
import { until } from "./wait.ts";

export interface FleetOptions {
  readonly port: number;
  readonly devices: number;
  /** Messages a second of all devices together. */
  readonly ratePerSecond: number;
  /** QoS by device index; by default every third device uses QoS 2. */
  readonly qos?: (index: number) => 1 | 2;
  readonly inflightMax?: number;
  /** Bytes added to each payload. */
  readonly paddingBytes?: number;
  /** Topic of a device. */
  readonly topic?: (id: string) => string;
  readonly name?: string;
}

export interface Reading {
  readonly device: string;
  readonly n: number;
  readonly check: string;
  readonly padding?: string;
}

const TICK_MS = 5;

export class Fleet {
  readonly options: FleetOptions;
  readonly devices: readonly Device[];
  #timer: NodeJS.Timeout | undefined;
  #due = 0;
  #lastMs = 0;
  #turn = 0;

  constructor(options: FleetOptions) {
    this.options = options;
    const name = options.name ?? "device";
    const qos = options.qos ?? ((index) => (index % 3 === 2 ? 2 : 1));
    const topic = options.topic ?? ((id) => `load/${id}`);
    this.devices = Array.from({ length: options.devices }, (_, index) => {
      const id = `${name}-${index}`;
      return new Device({
        port: options.port,
        id,
        topic: topic(id),
        qos: qos(index),
        inflightMax: options.inflightMax ?? 20,
        payload: (n) => JSON.stringify(reading(id, n, options.paddingBytes ?? 0)),
      });
    });
  }

  /** Connects every device and begins to publish. */
  start(): void {
    for (const device of this.devices) device.connect();
    this.resume();
  }

  resume(): void {
    this.#lastMs = performance.now();
    this.#timer ??= setInterval(() => this.#tick(), TICK_MS);
  }

  /** No new messages; what is in flight goes on being sent until it is acknowledged. */
  pause(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** Ends the steady load, publishes exactly `count` messages on each device, and waits until all of them are acknowledged. */
  async publish(count: number, withinMs = 30_000): Promise<void> {
    this.pause();
    const goals = this.devices.map((device) => device.published + count);
    await until(
      `${count} messages of each device`,
      () => {
        for (const [index, device] of this.devices.entries()) {
          while (device.hasRoom && device.published < (goals[index] as number)) device.publishNext();
        }
        return this.devices.every((device, index) => device.published === goals[index] && device.inFlight === 0);
      },
      { withinMs, everyMs: 1, tell: () => this.figures() },
    );
  }

  /** Pauses and waits until every message that was sent is acknowledged. */
  async settled(withinMs = 30_000): Promise<void> {
    this.pause();
    await until(
      "the acknowledgement of all that was sent",
      () => this.devices.every((device) => device.inFlight === 0),
      {
        withinMs,
        tell: () => this.figures(),
      },
    );
  }

  async online(withinMs = 30_000): Promise<void> {
    await until("every device online", () => this.devices.every((device) => device.isOnline), { withinMs });
  }

  /** What each device was promised up to now: a copy, for what is promised later may not be held against a cut. */
  promises(): Map<string, readonly number[]> {
    return new Map(this.devices.map((device) => [device.options.id, [...device.acked]]));
  }

  get published(): number {
    return sum(this.devices, (device) => device.published);
  }

  get acked(): number {
    return sum(this.devices, (device) => device.acked.length);
  }

  get complaints(): string[] {
    return this.devices.flatMap((device) => device.complaints);
  }

  figures(): Record<string, number> {
    return {
      published: this.published,
      acked: this.acked,
      inFlight: sum(this.devices, (device) => device.inFlight),
      online: sum(this.devices, (device) => (device.isOnline ? 1 : 0)),
    };
  }

  [Symbol.dispose](): void {
    this.pause();
    for (const device of this.devices) device.drop();
  }

  #tick(): void {
    const nowMs = performance.now();
    // A tick that comes late owes at most a tenth of a second's messages: the load stays bounded.
    this.#due = Math.min(
      this.#due + ((nowMs - this.#lastMs) * this.options.ratePerSecond) / 1000,
      this.options.ratePerSecond / 10,
    );
    this.#lastMs = nowMs;
    for (let idle = 0; this.#due >= 1 && idle < this.devices.length;) {
      const device = this.devices[this.#turn++ % this.devices.length] as Device;
      if (device.hasRoom) {
        device.publishNext();
        this.#due -= 1;
        idle = 0;
      } else {
        idle += 1;
      }
    }
  }
}

/** What device `id` says in its message `n`. */
export function reading(id: string, n: number, paddingBytes = 0): Reading {
  const check = checkOf(id, n);
  return paddingBytes === 0
    ? { device: id, n, check }
    : { device: id, n, check, padding: padding(check, paddingBytes) };
}

/** Whether `value` is what its device said, to the byte. */
export function isIntact(value: Reading): boolean {
  const check = checkOf(value.device, value.n);
  return (
    value.check === check && (value.padding === undefined || value.padding === padding(check, value.padding.length))
  );
}

function checkOf(id: string, n: number): string {
  return createHash("sha256").update(`${id}:${n}`).digest("hex").slice(0, 16);
}

function padding(check: string, bytes: number): string {
  return check.repeat(Math.ceil(bytes / check.length)).slice(0, bytes);
}

function sum<T>(of: readonly T[], figure: (item: T) => number): number {
  return of.reduce((total, item) => total + figure(item), 0);
}
