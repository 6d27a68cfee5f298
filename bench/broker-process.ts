/** The broker room alone, with an ingress that stores nothing and commits once a turn of the event loop. argv[2]: port, argv[3]: data. */
import { Broker } from "../src/broker/broker.ts";
import type { Ingress, Receiver } from "../src/broker/ingress.ts";
import { brokerSettings } from "../src/broker/settings.ts";
import { createLog } from "../src/log.ts";
import { systemClock } from "../src/time.ts";

const receivers: Receiver[] = [];
const tags: number[] = [];
function commit(): void {
  for (let i = 0; i < tags.length; i++) (receivers[i] as Receiver).committed(tags[i] as number, undefined);
  receivers.length = tags.length = 0;
}

const none: ReadonlySet<number> = new Set();
const ingress: Ingress = {
  accept(_event, receiver, tag) {
    if (tags.length === 0) setImmediate(commit);
    receivers.push(receiver);
    tags.push(tag);
    return "taken";
  },
  claimed: () => none,
  claimants: () => [],
  release: (_device, _packetId, receiver, tag) => receiver.committed(tag, undefined),
  forget: () => {},
  onRoom: () => {},
};

await Broker.open({
  settings: brokerSettings.parse({ listeners: [{ url: `mqtt://127.0.0.1:${process.argv[2]}` }] }),
  ingress,
  data: process.argv[3] as string,
  clock: systemClock,
  log: createLog({ level: "warn", pretty: false }),
});
process.send?.("ready");
process.on("disconnect", () => process.exit(0));
