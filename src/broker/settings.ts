/**
 * The broker's part of the config. Every limit has a name, a default and a policy.
 */
import { z } from "zod";
import { duration, durationWithin, size, sizeWithin } from "../quantity.ts";
import { readListenerUrl } from "./listener-url.ts";

const count = z.int().min(1);

const listener = z.strictObject({
  url: z
    .string()
    .superRefine((text, ctx) => {
      const url = readListenerUrl(text);
      if (url.at === "flawed") ctx.addIssue({ code: "custom", message: url.message, params: { fault: url.code } });
    })
    .meta({
      description: "mqtt://host:port. Only loopback hosts until authentication is configured. Port 0 takes a free one.",
    }),
});

/** Every listener on port 0 has a port of its own; any other can be had once. */
function refuseTwice(listeners: readonly { readonly url: string }[], ctx: z.RefinementCtx): void {
  const taken = new Set<string>();
  for (const [index, { url: text }] of listeners.entries()) {
    const url = readListenerUrl(text);
    if (url.at === "flawed" || url.port === 0) continue;
    const address = `${url.host} ${url.port}`;
    if (taken.has(address)) {
      ctx.addIssue({ code: "custom", path: [index, "url"], message: "is the same listener as one before it" });
    }
    taken.add(address);
  }
}

const limits = z.strictObject({
  packetMax: sizeWithin({ min: "128B" })
    .prefault("256KB")
    .meta({ description: "Longest packet of a device that is logged in; longer ones close its connection." }),
  loginPacketMax: sizeWithin({ min: "128B" })
    .prefault("64KB")
    .meta({ description: "Longest CONNECT packet, which anybody may send." }),
  devicesMax: count
    .default(5000)
    .meta({ description: "Devices connected at a time; further ones get CONNACK 3 (server unavailable)." }),
  halfOpenMax: count.default(1000).meta({
    description:
      "Connections that have not logged in yet; a further one takes the place of the one that has said nothing for longest, or is closed.",
  }),
  connectRateMax: count
    .default(500)
    .meta({ description: "Logins a second; more wait their turn, at the most connectTimeout." }),
  connectTimeout: durationWithin({ min: "100ms", max: "1h" })
    .prefault("10s")
    .meta({ description: "How long a connection may take until it is logged in." }),
  inflightPerDeviceMax: count.max(65_535).default(100).meta({
    description:
      "Packets of one device that wait for the disk; then its socket is not read until half of them are done.",
  }),
  unreleasedPerDeviceMax: count
    .max(65_535)
    .default(10_000)
    .meta({ description: "QoS 2 messages of one device that wait for its PUBREL; one more closes its connection." }),
  inboundTotalMax: sizeWithin({ min: "64KB" }).prefault("64MB").meta({
    description:
      "Bytes of packets that have come in part, of all devices together; beyond it the connection whose packet began first is closed.",
  }),
  outboundMax: size.prefault("1MB").meta({
    description:
      "Bytes waiting for a device that does not read; then QoS 0 messages to it are dropped, and for QoS 1 and 2 it is disconnected.",
  }),
  outboundTotalMax: size
    .prefault("128MB")
    .meta({ description: "The same over all devices: beyond it, a device may have no more than 64KB waiting." }),
  localMax: count.default(1000).meta({
    description:
      "Deliveries (messages times subscribers) on their way to local subscribers; at the limit, messages that somebody wants wait in their sockets.",
  }),
  subscriptionsPerDeviceMax: count
    .default(1000)
    .meta({ description: "Filters of one session; further ones get SUBACK 0x80." }),
  sessionsMax: count
    .default(10_000)
    .meta({ description: "Persistent sessions, offline ones included; at the limit new ones get CONNACK 3." }),
  sessionExpiry: duration
    .prefault("7d")
    .meta({ description: "A persistent session whose device stays away this long is removed." }),
  queueMax: count.default(1000).meta({ description: "Messages kept for one session; see whenQueueFull." }),
  queuedTotalMax: count.default(100_000).meta({ description: "Messages kept for all sessions together." }),
  queuedTotalBytesMax: size.prefault("256MB").meta({ description: "Bytes kept for all sessions together." }),
  whenQueueFull: z
    .enum(["drop-oldest", "drop-newest"])
    .default("drop-oldest")
    .meta({ description: "Which message goes when a session's queue is full." }),
  retainedMax: count
    .default(10_000)
    .meta({ description: "Retained messages; at the limit new topics are not retained." }),
  retainedBytesMax: size
    .prefault("16MB")
    .meta({ description: "Bytes of retained messages, which stay in memory; at the limit new ones are not retained." }),
});

export const brokerSettings = z.strictObject({
  listeners: z
    .array(listener)
    .min(1)
    .superRefine(refuseTwice)
    .default([{ url: "mqtt://127.0.0.1:1883" }])
    .meta({ description: "Where devices connect." }),
  limits: limits.prefault({}).meta({ description: "What devices may use." }),
});

export type BrokerSettings = z.output<typeof brokerSettings>;
export type BrokerLimits = BrokerSettings["limits"];
