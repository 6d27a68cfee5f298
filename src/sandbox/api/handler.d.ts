/**
 * Types for Sluice handlers: `import type { Handler, HandlerConfig } from "sluice"`.
 *
 * A handler is a file in the gateway's `handlers/` folder with a default export that is a function, and an export
 * `config` that says which events it gets.
 */

/** Anything that JSON can say. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [name: string]: Json | undefined };

/** What `JSON.parse` gives: whatever devices send and handlers keep, only the handler knows what it is. */
export type Parsed = ReturnType<typeof JSON.parse>;

/** A duration such as `"500ms"`, `"10s"`, `"5m"`, `"24h"` or `"7d"`. */
export type Duration = `${number}${"ms" | "s" | "m" | "h" | "d"}`;

/** A size such as `"64KB"` or `"32MB"`. 1 KB is 1,024 bytes. */
export type Size = `${number}${"B" | "KB" | "MB" | "GB"}`;

/**
 * What `export const config` may hold. All of it can be overridden in the gateway's config, under
 * `handlers.settings.<handler>`, without touching the code.
 *
 * @example
 * export const config = {
 *   topic: "plant/{line}/{machine}/temperature",
 *   key: "{machine}",
 *   to: ["cloud"],
 * } satisfies HandlerConfig;
 */
export interface HandlerConfig {
  /**
   * Which publishes the handler gets: an MQTT topic filter, or a list of them. `+` is one level, `#` the rest, and
   * `{name}` is one level that lands in `event.params.name`.
   */
  readonly topic?: string | readonly string[];
  /**
   * When the handler gets a tick: a cron pattern of five fields, or six with seconds first, or an interval. An instant ticks
   * once, also across restarts. `missed` says what becomes of instants at which the gateway was not running. Default: `"skip"`.
   */
  readonly schedule?:
    | string
    | {
        readonly cron: string;
        /** Such as `"Europe/Berlin"`. Default: UTC. */ readonly timeZone?: string;
        readonly missed?: Missed;
      }
    | { readonly every: Duration; readonly missed?: Missed };
  /**
   * A path such as `"/orders"` or `"/orders/{id}"` below `/hooks` of the control API's address: each call is an event, its body the
   * payload, answered 202 when it is on disk. With a path alone callers bear the gateway's own token.
   */
  readonly webhook?: string | Webhook;
  /**
   * What happens in the gateway that the handler is run by, such as `"device.connected"`; `{ "file.changed": "/folder" }` for files.
   * `event.type` is `"sluice."` and the name, `event.data` as in {@link Notices}.
   */
  readonly on?: readonly (Exclude<keyof Notices, "file.changed"> | { readonly "file.changed": string })[];
  /**
   * What orders events and scopes `ctx.state`: events of one key run one at a time, in order. Names in braces are
   * levels of the topic, as in `"{line}/{machine}"`. Default: the topic.
   */
  readonly key?: string;
  /** Names of the uplinks that outputs go to. */
  readonly to?: string | readonly string[];
  /** CloudEvents `type` of the outputs. Default: `sluice.<handler>`. */
  readonly type?: string;
  /** Handed to the handler as `ctx.params`; operators override single values by name. */
  readonly params?: { readonly [name: string]: Json };
  /**
   * Origins that the handler may fetch from: scheme, host and port, as in `"https://api.example.com"`. A name has to resolve
   * to a public address, or to a private one when its grant says so: `{ origin: "http://historian.local:8080", private: true }`.
   */
  readonly fetch?: readonly (string | { readonly origin: string; readonly private?: boolean })[];
  /** Names of the secrets that the handler gets in `ctx.secrets`; where their values come from is in the gateway's config. */
  readonly secrets?: readonly string[];
  /** Longest time one event may take. Default: `"1s"`. */
  readonly timeout?: Duration;
  /** Heap of the handler's isolate. Default: `"32MB"`. */
  readonly memory?: Size;
  /**
   * Events of different keys that may be under way at a time, for handlers that wait; each in an isolate of its own, with
   * module variables of its own. Default: 1, and at most 64.
   */
  readonly concurrency?: number;
  /** `ttl`: the state of a key that was not written for so long, at least a second, is gone. Default: it stays. */
  readonly state?: { readonly ttl?: Duration };
  /** Budgets. An event that spends one fails, but for the rate of outputs, which makes events wait, and for the log. */
  readonly limits?: {
    /** Processor time of one event, waits not counted. Default: as `timeout`. */
    readonly cpu?: Duration;
    /** Outputs and publishes of one event. Default: 100. */
    readonly outputsMax?: number;
    /** Length of one event's outputs together, as JSON. Default: `"1MB"`. */
    readonly resultMax?: Size;
    /** Outputs and publishes a second; beyond it events wait. Default: no limit. */
    readonly outputsPerSecond?: number;
    /** So many of them at once, after a pause. Default: as `outputsPerSecond`. */
    readonly outputsBurst?: number;
    /** Length of one key's state, as JSON. Default: `"64KB"`. */
    readonly stateMax?: Size;
    /** Bytes of all keys' states. Default: `"64MB"`. */
    readonly stateTotalMax?: Size;
    /** Timers of one event at a time. Default: 100. */
    readonly timersMax?: number;
    /** Fetches of one event under way at a time. Default: 16. */
    readonly fetchesMax?: number;
    /** Fetches of one event in all. Default: 100. */
    readonly fetchesPerEvent?: number;
    /** How long one fetch may take, at most `timeout`. Default: `"10s"`. */
    readonly fetchTimeout?: Duration;
    /** Longest body that is sent with a fetch. Default: `"256KB"`. */
    readonly fetchRequestMax?: Size;
    /** Longest answer to a fetch, unpacked. Default: `"1MB"`. */
    readonly fetchResponseMax?: Size;
    /** Log lines a second in each isolate; further ones are dropped and counted. Default: 100. */
    readonly logLinesPerSecond?: number;
    /** Length of a second's log lines in each isolate. Default: `"64KB"`. */
    readonly logBytesPerSecond?: Size;
    /** Longest log line; longer ones are cut. Default: `"2KB"`. */
    readonly logLineMax?: Size;
  };
  /**
   * How a new version is watched: past its budget it is rolled back by itself, and what it failed at runs again on the version
   * before. `false`: not at all. See docs/deploying.md.
   */
  readonly probation?:
    | false
    | {
        /** Over after so many events. Default: 200. */
        readonly events?: number;
        /** But not before so long. Default: `"30s"`. */
        readonly atLeast?: Duration;
        /** And after so long, whatever has run. Default: `"1h"`. */
        readonly time?: Duration;
        /** Share of the events that may fail, beside what the version before failed at. Default: 0.01. */
        readonly errors?: number;
        /** So many times as long as with the version before may an event take; 0: as long as it likes. Default: 5. */
        readonly slower?: number;
      };
  /** What happens when an event fails. */
  readonly retry?: {
    /** Tries of one event, the first included; then it becomes a dead letter. Default: 5. */
    readonly triesMax?: number;
    /** Wait before the second try; it doubles with each further one. Default: `"500ms"`. */
    readonly backoff?: Duration;
    /** Longest wait between two tries. Default: `"5m"`. */
    readonly backoffMax?: Duration;
  };
}

/** Of a schedule's instants at which nobody was there: none, one tick for all of them, or each, at most 1,000. */
export type Missed = "skip" | "once" | "all";

/**
 * `event.data` of what `on` waits for, by name. Where more happened than is told, `suppressed` says how much of the sort was
 * left out since the last.
 */
export interface Notices {
  readonly "device.connected": { readonly device: string };
  readonly "device.disconnected": { readonly device: string };
  readonly "device.subscribed": { readonly device: string; readonly filter: string; readonly qos: number };
  /** `waiting`: entries in its outbox. */
  readonly "uplink.up": { readonly uplink: string; readonly waiting: number };
  readonly "uplink.down": {
    /** Its name in the gateway's config. */
    readonly uplink: string;
    /** Entries in its outbox. */
    readonly waiting: number;
    /** A fault's code. */
    readonly code: string;
    /** What is wrong, for people. */
    readonly message: string;
  };
  /** Its buffer is at `sizeMax`. */
  readonly "uplink.full": { readonly uplink: string; readonly waiting: number };
  /** An event has become a dead letter. */
  readonly "handler.failed": {
    /** Its name. */
    readonly handler: string;
    /** A fault's code. */
    readonly code: string;
    /** What it threw, or what was wrong with it. */
    readonly message: string;
    /** Of the event that failed. */
    readonly key: string;
    /** Likewise. */
    readonly topic: string;
  };
  readonly "handler.rolled-back": { readonly handler: string; readonly message: string };
  readonly "gateway.started": { readonly version: string };
  readonly "file.changed": {
    /** Below the folder that is watched. */
    readonly path: string;
    /** What happened to it. */
    readonly change: "added" | "changed" | "removed";
    /** Its size; 0 when it is gone. */
    readonly bytes: number;
  };
}

/** How the handler can be called over HTTP. */
export interface Webhook {
  /** Below the control server's `/hooks`, such as `"/orders"`; a level may be a name, `"/orders/{id}"`, for `event.params`. */
  readonly path: string;
  /** Default: `["POST"]`. */
  readonly methods?: readonly ("GET" | "POST" | "PUT" | "PATCH" | "DELETE")[];
  /**
   * Who may call: who bears the gateway's own token (`"operator"`, the default), or a secret of the gateway, as
   * `Authorization: Bearer`; who signs the body with a secret (HMAC-SHA256, in hex); or any program on the box (`"none"`).
   */
  readonly auth?:
    | "operator"
    | "none"
    | { readonly token: string }
    | {
        readonly hmac: {
          /** Name of the secret. */
          readonly secret: string;
          /** Default: `"X-Hub-Signature-256"`. */
          readonly header?: string;
          /** Header with seconds since 1970; the signature is then over `<seconds>.<body>`. */
          readonly timestampHeader?: string;
          /** How far that may be from now. Default: `"5m"`. */
          readonly tolerance?: Duration;
        };
      };
  /** Media types of bodies, `"text/*"` included. Default: JSON, forms, text and octet streams. */
  readonly types?: readonly string[];
  /** Longest body. Default: `"256KB"`. */
  readonly bodyMax?: Size;
  /** Header that names a call: its repeat within a day makes no second event. Default: `"Idempotency-Key"`. */
  readonly idempotencyHeader?: string;
  /** Headers that the handler gets in `event.request.headers`; none with credentials. Default: `["Content-Type"]`. */
  readonly headers?: readonly string[];
  /** Calls a second; more are refused. Default: 100. */
  readonly perSecond?: number;
}

/** What a call of a webhook was like. None of it is signed where `auth` is `hmac`: only the body is. */
export interface WebhookRequest {
  /** Such as `"POST"`. */
  readonly method: string;
  /** Decoded, by name; of a name that came several times the values with commas between. */
  readonly query: { readonly [name: string]: string };
  /** Those that the webhook's `headers` names and that came, by their names in small letters. */
  readonly headers: { readonly [name: string]: string };
}

/** `event.data` of a schedule's tick; the type is `"sluice.schedule.tick"`, the subject the handler. */
export interface Tick {
  /** The instant, RFC 3339. */
  readonly scheduled: string;
  /** Instants since the last tick that made none. */
  readonly missed: number;
}

/** One thing that happened. The names are those of CloudEvents 1.0, and what MQTT knows is beside them. */
export interface SluiceEvent<Data = Parsed> {
  /** Of CloudEvents. */
  readonly specversion: "1.0";
  /** Unique for ever, and the same on every try. Of what a handler published it follows from that handler's event. */
  readonly id: string;
  /** `//<gateway>/<device>`. */
  readonly source: string;
  /** `"sluice.mqtt.publish"` for an event that a device or a handler published, `"sluice.schedule.tick"` for a tick. */
  readonly type: string;
  /** The topic; what else the event is about, where nobody published it. */
  readonly subject: string;
  /** When the gateway accepted it, RFC 3339. */
  readonly time: string;
  /** What `data` is: `application/json`, `text/plain; charset=utf-8` or `application/octet-stream`. */
  readonly datacontenttype: string;
  /** The payload, decoded on first use: JSON when it parses, else text when it is valid UTF-8, else a `Uint8Array`. */
  data: Data;
  /** The payload as it came. */
  readonly bytes: Uint8Array;
  /** The topic that it was published on. */
  readonly topic: string;
  /** The named levels of the topic, by the first of the handler's filters that matches; of a webhook's call, of its path. */
  readonly params: { readonly [name: string]: string };
  /** MQTT client id of the device, or `""`. Of what a handler published: the device that began the chain. */
  readonly device: string;
  /** Quality of service that it was published with. */
  readonly qos: 0 | 1 | 2;
  /** Whether it was published to be retained. */
  readonly retain: boolean;
  /** How it was called, where a webhook's call made the event; undefined of all others. */
  readonly request?: WebhookRequest;
  /** A structured CloudEvent, for `JSON.stringify`. */
  toJSON(): Record<string, unknown>;
}

/** Lines land in the gateway's log with the handler's name and version. Too many or too long ones are cut. */
export interface HandlerLog {
  /** For whoever looks for a mistake. */
  debug(...values: unknown[]): void;
  /** For whoever wants to know what goes on. */
  info(...values: unknown[]): void;
  /** For whoever should have a look. */
  warn(...values: unknown[]): void;
  /** For what went wrong. A throw says it by itself. */
  error(...values: unknown[]): void;
}

/**
 * Exported as `migrate`, it is called once for each key whose state another version wrote, older or, after a rollback,
 * newer: before the first event of the key, and saved in one commit with what that event does. Returns the state as this
 * version wants it, nothing when it changed it where it is, or `null` to begin anew. A throw fails the event.
 */
export type Migrate = (state: Record<string, Parsed>, fromVersion: number) => object | null | void;

/** What a handler may do, and what it may know of itself. */
export interface HandlerContext<State extends object = Record<string, Parsed>> {
  /**
   * A small JSON object per handler and key. It is saved in the same commit as the outputs, and only when the handler
   * succeeds. Empty it, or set it to `undefined`, to remove it.
   */
  state: State;
  /** `params` of the config, frozen. */
  readonly params: { readonly [name: string]: Parsed };
  /** The secrets that the config asks for, by name; frozen. In logs and failures they are replaced by `[secret name]`. */
  readonly secrets: { readonly [name: string]: string };
  /** The gateway's log; `console` writes there too. */
  readonly log: HandlerLog;
  /**
   * Sends an output, besides what the handler returns. A `Uint8Array` goes out as bytes, everything else as JSON. Nothing
   * leaves when the handler fails.
   */
  emit(data: unknown, options?: { to?: string | readonly string[]; type?: string; subject?: string }): void;
  /**
   * Publishes to local devices, and to handlers that listen to the topic, for which it is an event: both in the same
   * commit. Text and `Uint8Array` go out as they are, everything else as JSON. Nothing leaves when the handler fails. A
   * chain of handlers that publish to one another ends as a dead letter after `handlers.hopsMax` of them.
   */
  publish(topic: string, data: unknown, options?: { qos?: 0 | 1 | 2; retain?: boolean }): void;
  /** Which try this is, from 1. */
  readonly attempt: number;
  /** The handler's name. */
  readonly handler: string;
  /** The version that runs. */
  readonly version: number;
  /** Aborts when the event's time is up, just before it fails: whatever the handler does then has no effect on the event. */
  readonly signal: TaskSignal;
}

/** An `AbortSignal`, where there are types of it; handlers that speak of none of the web's events have no more than this. */
export type TaskSignal = typeof globalThis extends { AbortSignal: { prototype: infer Signal } }
  ? Signal
  : {
      readonly aborted: boolean;
      readonly reason: unknown;
      addEventListener(type: "abort", listener: () => void): void;
      removeEventListener(type: "abort", listener: () => void): void;
      throwIfAborted(): void;
    };

/**
 * A handler. What it returns is sent to `to`: nothing, a value, or an array of values. A throw is tried again with growing
 * waits and ends as a dead letter; `throw new DeadLetter(reason)` ends as one at once.
 *
 * @example
 * export default ((event, ctx) => {
 *   if (event.data.c > ctx.params.limit) return { machine: event.params.machine, c: event.data.c };
 * }) satisfies Handler;
 */
export type Handler<Data = Parsed, State extends object = Record<string, Parsed>> = (
  event: SluiceEvent<Data>,
  ctx: HandlerContext<State>,
) => unknown;

/** A handler that nothing but its webhook runs: each of its events has a `request`. */
export type WebhookHandler<Data = Parsed, State extends object = Record<string, Parsed>> = (
  event: SluiceEvent<Data> & { readonly request: WebhookRequest },
  ctx: HandlerContext<State>,
) => unknown;

/** `throw new DeadLetter(reason)`: never mind trying again. Also there as a global. */
export class DeadLetter extends Error {
  /** The reason stands in the dead letter. */
  constructor(reason?: string);
}
