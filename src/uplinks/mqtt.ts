/**
 * Uplink kind `mqtt`: QoS 1 to an MQTT 3.1.1 server, over TCP or TLS.
 *
 * Several batches are outstanding at once, for the connection keeps them in order: as soon as one is acknowledged the next
 * one leaves. Waiting for half a window instead meets Nagle's algorithm at the server and delayed acknowledgements here, 40 ms each.
 * The delivery loop decides when to try again; a connection lost is one fault, and what was outstanding comes back with it.
 */
import { z } from "zod";
import type { Fault } from "../fault.ts";
import { durationWithin } from "../quantity.ts";
import type { Failure, OutboxEntry } from "../task.ts";
import { deliverySettings } from "./delivery-settings.ts";
import { ENVELOPE_BYTES } from "./envelope.ts";
import { GrowingBuffer } from "./growing-buffer.ts";
import type { LinkOptions, MqttLink, Parcel } from "./mqtt-link.ts";
import { writePublish } from "./mqtt-publish.ts";
import { tlsOptions, tlsSettings } from "./tls-files.ts";
import { TOPIC_DEFAULT, templateFlaw, topicTemplate } from "./topic-template.ts";
import type { Uplink, UplinkContext, UplinkKind, Verdict } from "./uplink.ts";

/** A batch is an eighth of what may be in flight: small enough to keep the pipe moving, big enough to cost little. */
const WINDOW = 8;

const mqttSettings = z.strictObject({
  kind: z.literal("mqtt"),
  url: z
    .string()
    .refine((url) => /^mqtts?:$/.test(URL.parse(url)?.protocol ?? "") && URL.parse(url)?.hostname !== "", {
      error: "write a URL such as mqtt://host:1883 or mqtts://host:8883",
    })
    .refine((url) => !/^\w+:\/\/[^/]*@/.test(url), {
      error: "write credentials as username: and password:, not in the URL",
    })
    .meta({ description: "mqtt://host:port, or mqtts:// for TLS." }),
  clientId: z
    .string()
    .min(1)
    .max(65_535)
    .optional()
    .meta({ description: "Default: sluice-<gateway id>-<uplink>. The same after every start." }),
  username: z.string().optional().meta({ description: "User name." }),
  password: z.string().optional().meta({ description: "Password; write ${NAME} to take it from the environment." }),
  topic: z
    .string()
    .min(1)
    .max(1024)
    .default(TOPIC_DEFAULT)
    .superRefine((template, issues) => {
      const flaw = templateFlaw(template);
      if (flaw !== undefined) issues.addIssue({ code: "custom", message: flaw });
    })
    .meta({
      description: "Topic of each message; {gateway}, {handler}, {type}, {subject}, {key} and {topic} are filled in.",
    }),
  inflight: z
    .int()
    .min(1)
    .max(32_768)
    .default(2048)
    .meta({ description: "Most messages without an acknowledgement. AWS IoT Core takes 100." }),
  keepalive: durationWithin({ max: "18h" })
    .prefault("30s")
    .meta({ description: "Ping interval of an idle connection." }),
  tls: tlsSettings.optional(),
  ...deliverySettings,
});
type MqttSettings = z.output<typeof mqttSettings>;

export const mqttKind: UplinkKind<typeof mqttSettings> = {
  settings: mqttSettings,
  open: (settings, context) => new MqttUplink(settings, context),
};

type State =
  | { readonly at: "down" }
  | { readonly at: "connecting"; readonly link: Promise<MqttLink> }
  | { readonly at: "up"; readonly link: MqttLink };

const DOWN: State = { at: "down" };
const TOO_LONG: Failure = { code: "UPLINK_REJECTED", message: "its topic or payload is larger than MQTT can carry" };

class MqttUplink implements Uplink {
  readonly window: number;
  readonly batchCountMax: number;
  readonly batchBytesMax = 256 * 1024;
  readonly #settings: MqttSettings;
  readonly #context: UplinkContext;
  readonly #url: URL;
  readonly #topicOf: (entry: OutboxEntry) => string;
  #state: State = DOWN;

  constructor(settings: MqttSettings, context: UplinkContext) {
    this.#settings = settings;
    this.#context = context;
    this.#url = new URL(settings.url);
    this.#topicOf = topicTemplate(settings.topic, context.gatewayId, context.handlerName);
    this.window = Math.min(WINDOW, settings.inflight);
    this.batchCountMax = Math.floor(settings.inflight / this.window);
    // What cannot be read now should be known now.
    tlsOptions(settings.tls, context.folder);
  }

  async send(batch: readonly OutboxEntry[], signal: AbortSignal): Promise<Verdict> {
    let link: MqttLink;
    try {
      link = this.#state.at === "up" ? this.#state.link : await this.#connected(signal);
    } catch (thrown) {
      return { acked: 0, fault: thrown as Fault };
    }
    // A batch that is given up takes the connection with it: only a new one tells what the server really has.
    const abort = (): void => link.drop(signal.reason as Fault);
    signal.addEventListener("abort", abort, { once: true });
    const verdict = await link.publish(this.#parcel(batch));
    signal.removeEventListener("abort", abort);
    return verdict;
  }

  async test(signal: AbortSignal): Promise<void> {
    if (this.#state.at !== "up") await this.#connected(signal);
  }

  async close(): Promise<void> {
    const state = this.#state;
    if (state.at === "connecting") await state.link.then((link) => link.close()).catch(() => undefined);
    if (state.at === "up") await state.link.close();
  }

  /** All that wait for a connection share one attempt. */
  #connected(signal: AbortSignal): Promise<MqttLink> {
    const state = this.#state;
    if (state.at === "up") return Promise.resolve(state.link);
    if (state.at === "connecting") return state.link;
    const link = this.#connect(signal);
    this.#state = { at: "connecting", link };
    return link;
  }

  async #connect(signal: AbortSignal): Promise<MqttLink> {
    try {
      // Loaded by the first connection: a gateway without one starts sooner, and smaller.
      const mqtt = await import("./mqtt-link.ts");
      const link = await mqtt.MqttLink.connect(this.#linkOptions(), signal);
      this.#state = { at: "up", link };
      link.onEnd = () => {
        if (this.#state.at === "up" && this.#state.link === link) this.#state = DOWN;
      };
      this.#context.log.debug({ uplink: this.#context.name }, "uplink connected");
      return link;
    } catch (thrown) {
      this.#state = DOWN;
      throw thrown;
    }
  }

  #linkOptions(): LinkOptions {
    const { clientId, username, password, keepalive, timeout, tls } = this.#settings;
    const { name, gatewayId, folder } = this.#context;
    return {
      url: this.#url,
      clientId: clientId ?? `sluice-${gatewayId}-${name}`,
      username,
      password,
      keepaliveMs: keepalive,
      connectTimeoutMs: timeout,
      tls: tlsOptions(tls, folder),
      where: `${name} (${this.#settings.url})`,
    };
  }

  #parcel(batch: readonly OutboxEntry[]): Parcel {
    const { envelopes } = this.#context;
    const topicOf = this.#topicOf;
    let entry = batch[0] as OutboxEntry;
    // One closure a batch, not one a message.
    const payload = (into: GrowingBuffer): void => envelopes.write(into, entry);
    return {
      count: batch.length,
      buffer: () => {
        let bytes = 0;
        for (let i = 0; i < batch.length; i++) bytes += (batch[i] as OutboxEntry).data.length + ENVELOPE_BYTES + 64;
        return new GrowingBuffer(bytes + 4096);
      },
      write(into, index, packetId) {
        entry = batch[index] as OutboxEntry;
        const guess = entry.data.length + ENVELOPE_BYTES;
        return writePublish(into, topicOf(entry), entry.retain, packetId, payload, guess) ? undefined : TOO_LONG;
      },
    };
  }
}
