/**
 * The load generator, a process of its own: devices that publish at QoS 1 and count acknowledgements.
 *
 * Every device has its packets ready in one buffer, ids 1 to `window`, and writes slices of it: acknowledgements come
 * back in order [MQTT-4.6.0-2], so the packets whose ids are free again are always the next ones in the buffer. A
 * message costs a few hundred nanoseconds here, which leaves the cores to what is measured.
 *
 * Started with a LoadPlan as JSON in argv[2]; takes `LoadOrder`s and gives `LoadNews` over IPC.
 */
import type { Socket } from "node:net";
import { openClient, PUBACK_BYTES, publishPacket } from "./mqtt.ts";

export interface LoadPlan {
  readonly port: number;
  readonly devices: number;
  /** Publishes of one device without an acknowledgement, at most. */
  readonly window: number;
  /** Topics, dealt out to the devices in turn. At least one per device, or else some share. */
  readonly topics: readonly string[];
  /** Topic of one in `window` messages of each device: who subscribes to it counts the whole stream at little cost. */
  readonly marker?: string;
  /** Messages a second over all devices, evenly spread and each in a write of its own; without it, as many as go. */
  readonly perSecond?: number;
  /** Measure the time to each acknowledgement. Only with one device and a window of one. */
  readonly timed?: boolean;
}

/** Publish until `sentMax` have been sent in all; `tell` asks for news. */
export type LoadOrder = { readonly at: "limit"; readonly sentMax: number } | { readonly at: "tell" };

export interface LoadNews {
  readonly at: "ready" | "counts";
  readonly sent: number;
  readonly acked: number;
  /** Times to the acknowledgement since the last news, milliseconds. */
  readonly ackMs: readonly number[];
}

const CONNECTING_MAX = 20;

/** About 100 bytes, like what a sensor sends. */
export function payload(topic: string, n: number): Buffer {
  const [, line, machine] = topic.split("/");
  const celsius = 60 + (n % 400) / 10;
  return Buffer.from(
    `{"c":${celsius.toFixed(1)},"line":"${line}","machine":"${machine}","unit":"C","serial":"A7F3-0012-${1000 + (n % 9000)}","ok":true}`,
  );
}

class Device {
  inFlight = 0;
  readonly #socket: Socket;
  readonly #window: number;
  readonly #packets: Buffer;
  /** Where packet i starts; one more entry for the end. */
  readonly #starts: number[] = [0];
  #next = 0;
  /** Id of the next acknowledgement, minus 1. */
  #expected = 0;
  /** Bytes of an acknowledgement that was cut in two. */
  #split = 0;

  constructor(
    socket: Socket,
    { window, marker }: LoadPlan,
    topics: readonly string[],
    onAcks: (count: number, from: Device) => void,
  ) {
    this.#socket = socket;
    this.#window = window;
    const packets: Buffer[] = [];
    for (let i = 0; i < window; i++) {
      const topic = i === 0 && marker !== undefined ? marker : (topics[i % topics.length] as string);
      packets.push(publishPacket(topic, payload(topic, i), i + 1));
    }
    this.#packets = Buffer.concat(packets);
    for (const packet of packets) this.#starts.push((this.#starts.at(-1) as number) + packet.length);
    socket.on("data", (chunk: Buffer) => {
      const count = Math.floor((this.#split + chunk.length) / PUBACK_BYTES);
      this.#split = (this.#split + chunk.length) % PUBACK_BYTES;
      if (count === 0) return;
      this.#expected = (this.#expected + count) % window;
      if (this.#split === 0) {
        const id = chunk.readUInt16BE(chunk.length - 2) - 1;
        if ((id + 1) % window !== this.#expected) throw new Error("acknowledgements out of order");
      }
      this.inFlight -= count;
      onAcks(count, this);
    });
    socket.on("error", (error) => {
      throw error;
    });
    socket.on("close", () => {
      throw new Error("the broker closed a device's connection");
    });
  }

  get room(): number {
    return this.#window - this.inFlight;
  }

  /** `count` ≤ room. */
  send(count: number): void {
    let left = count;
    while (left > 0) {
      const run = Math.min(left, this.#window - this.#next);
      this.#socket.write(this.#packets.subarray(this.#starts[this.#next], this.#starts[this.#next + run]));
      this.#next = (this.#next + run) % this.#window;
      left -= run;
    }
    this.inFlight += count;
  }
}

async function main(plan: LoadPlan): Promise<void> {
  const devices: Device[] = [];
  let sent = 0;
  let acked = 0;
  let sentMax = 0;
  let sentAt = 0;
  let ackMs: number[] = [];

  const pump = (device: Device): void => {
    const count = Math.min(device.room, sentMax - sent);
    if (count <= 0) return;
    sent += count;
    if (plan.timed === true) sentAt = performance.now();
    device.send(count);
  };
  const onAcks = (count: number, device: Device): void => {
    acked += count;
    if (plan.timed === true) ackMs.push(performance.now() - sentAt);
    if (plan.perSecond === undefined) pump(device);
  };
  const tell = (at: LoadNews["at"]): void => {
    process.send?.({ at, sent, acked, ackMs } satisfies LoadNews);
    ackMs = [];
  };

  for (let first = 0; first < plan.devices; first += CONNECTING_MAX) {
    const numbers = Array.from({ length: Math.min(CONNECTING_MAX, plan.devices - first) }, (_, i) => first + i);
    const sockets = await Promise.all(numbers.map((n) => openClient(plan.port, `bench-device-${n}`)));
    sockets.forEach((socket, i) => {
      const own = plan.topics.filter((_, t) => t % plan.devices === first + i);
      const topics = own.length > 0 ? own : [plan.topics[(first + i) % plan.topics.length] as string];
      devices.push(new Device(socket, plan, topics, onAcks));
    });
  }

  if (plan.perSecond !== undefined)
    pace(
      plan.perSecond,
      devices,
      () => sentMax - sent,
      (count) => (sent += count),
    );
  process.on("message", (order: LoadOrder) => {
    if (order.at === "tell") {
      tell("counts");
      return;
    }
    sentMax = order.sentMax;
    if (plan.perSecond === undefined) for (const device of devices) pump(device);
  });
  process.on("disconnect", () => process.exit(0));
  tell("ready");
}

/** Every millisecond, one message each from as many devices as are due, in turn. */
function pace(perSecond: number, devices: Device[], left: () => number, onSent: (count: number) => void): void {
  const BEHIND_MS_MAX = 50;
  let turn = 0;
  let last = performance.now();
  let due = 0;
  setInterval(() => {
    const now = performance.now();
    due += (Math.min(now - last, BEHIND_MS_MAX) * perSecond) / 1000;
    last = now;
    let looked = 0;
    while (due >= 1 && left() > 0 && looked < devices.length) {
      const device = devices[turn] as Device;
      turn = (turn + 1) % devices.length;
      looked++;
      if (device.room === 0) continue;
      device.send(1);
      onSent(1);
      due--;
    }
    due = Math.min(due, devices.length);
  }, 1);
}

if (process.argv[1] === import.meta.filename) await main(JSON.parse(process.argv[2] as string) as LoadPlan);
