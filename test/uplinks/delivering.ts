/** A delivery loop over an outbox in memory, for tests of the loop itself. */
import { onTestFinished } from "vitest";
import { pino } from "pino";
import { z } from "zod";
import { systemClock } from "#src/time.ts";
import type { Clock } from "#src/time.ts";
import { Delivery } from "#src/uplinks/delivery.ts";
import { deliverySettings } from "#src/uplinks/delivery-settings.ts";
import type { Uplink } from "#src/uplinks/uplink.ts";
import { MemoryOutbox } from "../doubles/memory-outbox.ts";

const schema = z.strictObject(deliverySettings);

export interface Delivering {
  readonly delivery: Delivery;
  readonly outbox: MemoryOutbox;
  readonly lines: string[];
}

export function deliver(
  uplink: Uplink,
  settings: z.input<typeof schema> = {},
  options: { outbox?: MemoryOutbox; clock?: Clock } = {},
): Delivering {
  const { outbox = new MemoryOutbox(), clock = systemClock } = options;
  const lines: string[] = [];
  const delivery = new Delivery({
    name: "cloud",
    uplink,
    settings: schema.parse({ backoff: "2ms", backoffMax: "8ms", timeout: "1s", ...settings }),
    outbox: (wake) => outbox.outbox("cloud", { entriesMax: 512, bytesMax: 1_000_000, whenFull: "drop-oldest" }, wake),
    received: (receipts) => outbox.received("cloud", receipts),
    clock,
    random: Math.random,
    log: pino({ level: "debug" }, { write: (line: string) => void lines.push(line) }),
  });
  onTestFinished(() => delivery.close(0));
  return { delivery, outbox, lines };
}
