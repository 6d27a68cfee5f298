/**
 * aedes' hooks and events. A hook that throws would end the process, so each is wrapped; aedes' own errors are heard
 * and logged, for unheard they would do the same.
 */
import type { Aedes, AedesOptions, Client, PublishPacket, Subscription } from "aedes";
import { messageOf } from "../fault.ts";
import type { GateContext } from "./context.ts";
import type { Gate } from "./gate.ts";
import { FORWARDED_QOS } from "./persistence.ts";
import type { Persistence } from "./persistence.ts";
import type { Retained } from "./retained.ts";
import type { Wills } from "./wills.ts";

/** How long aedes waits for a connection to take more; the gate always takes it, so nothing should. */
const DRAIN_TIMEOUT_MS = 5000;
/** Messages that aedes has under way at a time. */
const CONCURRENCY = 100;
/** In place of a QoS, of a subscription that is not granted. */
const REFUSED = 128;

const gateOf = (client: Client): Gate => client.conn as Gate;

export function aedesOptions(persistence: Persistence): AedesOptions {
  return { persistence, drainTimeout: DRAIN_TIMEOUT_MS, concurrency: CONCURRENCY, maxClientsIdLength: 65_535 };
}

export function hookUp(
  aedes: Aedes,
  context: GateContext,
  persistence: Persistence,
  retained: Retained,
  wills: Wills,
): void {
  const { filters, complaints } = context;

  // PUBLISH packets never get to aedes: this is a will.
  aedes.authorizePublish = (client, packet, done) => {
    void offerWill(client, packet, done);
  };

  async function offerWill(
    client: Client | null,
    packet: PublishPacket,
    done: (error: Error | null) => void,
  ): Promise<void> {
    let isKept = false;
    try {
      isKept = await acceptWill(client, packet);
    } catch (error) {
      complaints.line("error", "will failed", { err: error });
    }
    done(isKept ? null : new Error("will refused"));
  }

  async function acceptWill(client: Client | null, packet: PublishPacket): Promise<boolean> {
    if (client === null || gateOf(client).isFarewell) return false;
    const payload = Buffer.isBuffer(packet.payload) ? packet.payload : Buffer.from(packet.payload);
    const will = { topic: packet.topic, payload, qos: packet.qos, retain: packet.retain };
    const isKept = await wills.accept(client.id, will);
    if (isKept && will.retain) retained.retain(will);
    return isKept;
  }

  aedes.authorizeSubscribe = (client, subscription, done) => {
    let granted: Subscription | null = null;
    try {
      const refusal = refuse(context, client.id, subscription.topic);
      if (refusal === undefined) {
        filters.add(client.id, subscription.topic, subscription.qos);
        granted = { ...subscription, qos: FORWARDED_QOS };
      } else {
        context.figures.refusedSubscriptions++;
        complaints.line("warn", refusal, { device: client.id, filter: subscription.topic });
      }
    } catch (error) {
      complaints.line("error", "subscribing failed", { device: client.id, error: messageOf(error) });
    }
    done(null, granted);
  };

  /** Only of what a device asks for: what its session brings back is authorized, and no news. */
  function tellSubscribed(client: Client, subscriptions: readonly Subscription[]): void {
    try {
      for (const { topic, qos } of subscriptions) {
        if ((qos as number) !== REFUSED) context.deviceSubscribed(client.id, topic, qos);
      }
    } catch (error) {
      complaints.line("error", "subscribing failed", { device: client.id, error: messageOf(error) });
    }
  }

  aedes.authorizeForward = (client, packet) => {
    try {
      return persistence.forward(client, packet);
    } catch (error) {
      complaints.line("error", "forwarding failed", { device: client.id, error: messageOf(error) });
      return null;
    }
  };

  aedes.on("subscribe", (subscriptions: Subscription[], client: Client) => {
    persistence.subscriber = client === null ? undefined : gateOf(client).outbound;
    if (client !== null) tellSubscribed(client, subscriptions);
  });
  aedes.on("unsubscribe", (topics: string[], client: Client) => {
    for (const topic of topics) filters.remove(client.id, topic);
  });
  aedes.on("client", (client: Client) => {
    gateOf(client).registered();
    // It ended while aedes was logging it in; aedes would keep it for ever.
    if (client.closed) (aedes as unknown as { unregisterClient(client: Client): void }).unregisterClient(client);
  });
  aedes.on("clientDisconnect", (client: Client) => gateOf(client).unregistered());
  aedes.on("clientError", (client: Client, error: Error) =>
    complaints.line("debug", "aedes closed a connection", { device: client.id, error: error.message }),
  );
  aedes.on("connectionError", (_client: Client, error: Error) =>
    complaints.line("debug", "aedes closed a connection", { error: error.message }),
  );
  (aedes as unknown as NodeJS.EventEmitter).on("error", (error: unknown) =>
    complaints.line("error", "aedes failed", { err: error }),
  );
}

/** Why the device may not subscribe to `filter`; the message is constant. SUBACK says 0x80. */
function refuse(context: GateContext, device: string, filter: string): string | undefined {
  const { filters, limits, access } = context;
  if (filter.startsWith("$share/")) return "shared subscriptions are not supported: subscribe to the filter itself";
  if (filter.startsWith("$")) return "topics that start with $ are closed to devices";
  if (!access.subscribe(device, filter)) return "subscription refused: the device may not";
  const own = filters.of(device);
  if (own.size >= limits.subscriptionsPerDeviceMax && !own.has(filter))
    return "subscription refused: the device has too many (subscriptionsPerDeviceMax)";
  return undefined;
}
