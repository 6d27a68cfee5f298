/// <reference lib="esnext.disposable" />
/**
 * Types of `sluice/testing`: handlers in the tests of vitest, node:test or whatever else runs tests, as a gateway runs them.
 *
 * @example
 * import { openHandler } from "sluice/testing";
 *
 * await using overheat = await openHandler("handlers/overheat.ts", { params: { limit: 50 } });
 * const run = await overheat.send("plant/a/press-7/temperature", { c: 91 });
 * expect(run.outputs).toMatchObject([{ to: ["cloud"], data: { machine: "press-7", count: 1 } }]);
 * expect(overheat.state("press-7")).toEqual({ count: 1 });
 */

import type { Duration, HandlerConfig, Json, Notices, Parsed } from "../sandbox/api/handler.d.ts";

/** What {@link openHandler} may be given. */
export interface OpenHandlerOptions {
  /** Over the handler's own `config`, as the gateway's YAML has it under `handlers.settings.<name>`. */
  readonly settings?: HandlerConfig;
  /** Over the handler's params, by name. */
  readonly params?: { readonly [name: string]: Json };
  /** Values of the secrets that the handler asks for. One that is not given is `test-<name>`. */
  readonly secrets?: { readonly [name: string]: string };
  /** States before the first event, by key. */
  readonly state?: { readonly [key: string]: object };
  /** The version that wrote those: the handler is the one after it, and its `migrate` is called for each key. Default: this one. */
  readonly stateVersion?: number;
  /** When the first event comes. Default: 2026-01-01T00:00:00Z. */
  readonly time?: string | Date;
  /**
   * Answers to what the handler fetches; the first that fits is given, and what fits none fails. With any of them timers are
   * really waited for, and `crypto` is not the same every time.
   */
  readonly fetch?: readonly FetchAnswer[];
  /** The config of a gateway, for its `handlers.defaults` and `settings` and its uplinks. Default: none. */
  readonly config?: string;
}

/** One answer to a fetch. */
export interface FetchAnswer {
  /** The address; `*` at its end is whatever follows. */
  readonly url: string;
  /** For this method only. */
  readonly method?: string;
  /** Default: 200. */
  readonly status?: number;
  readonly headers?: { readonly [name: string]: string };
  /** The body, sent as JSON. */
  readonly data?: unknown;
  /** The body, as it is. */
  readonly text?: string;
  /** The fetch fails with this message instead. */
  readonly error?: string;
}

/** How an event is sent. */
export interface SendOptions {
  /** MQTT client id of the device. Default: `"test"`. */
  readonly device?: string;
  /** Default: 1. */
  readonly qos?: 0 | 1 | 2;
  readonly retain?: boolean;
  /** How much later than the event before it comes: milliseconds, or such as `"5s"`. */
  readonly after?: number | Duration;
  /** Which try it is, from 1. */
  readonly attempt?: number;
  /** What made it. Default: `"topic"`, a device's publish. */
  readonly kind?: "topic" | "schedule" | "webhook" | "on";
}

/** How a webhook is called. */
export interface CallOptions extends Pick<SendOptions, "after" | "attempt"> {
  /** Default: the first that the webhook takes. */
  readonly method?: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** By name. */
  readonly query?: { readonly [name: string]: string };
  /** The handler gets those that its webhook names. */
  readonly headers?: { readonly [name: string]: string };
}

/** How something happens in the gateway. */
export interface NoticeOptions extends Pick<SendOptions, "after" | "attempt" | "device"> {
  /** What it is about. Default: the device, uplink, handler or path that the data names. */
  readonly subject?: string;
}

/** What a handler sent to uplinks. */
export interface Output {
  /** Names of the uplinks. */
  readonly to: readonly string[];
  /** Parsed where it is JSON; a text or a `Uint8Array` where the handler sent bytes. */
  readonly data: Parsed;
  /** CloudEvents type. */
  readonly type: string;
  /** CloudEvents subject. */
  readonly subject: string;
}

/** What it published to local devices. */
export interface Published {
  readonly topic: string;
  readonly data: Parsed;
  readonly qos: 0 | 1 | 2;
  readonly retain: boolean;
}

/** A request that it made. */
export interface Fetched {
  readonly url: string;
  readonly method: string;
  /** Names in small letters. */
  readonly headers: { readonly [name: string]: string };
  /** Parsed where it is JSON, else the text; undefined without a body. */
  readonly data: Parsed;
}

/** Why an event failed. */
export interface HandlerFailure {
  /** One of docs/faults.md, such as `HANDLER_THREW`. */
  readonly code: string;
  readonly message: string;
  /** Its places are in the handler's source. */
  readonly stack?: string;
  /** Whether it would be a dead letter now, rather than tried again. */
  readonly dead: boolean;
}

/** What became of one event. */
export interface HandlerRun {
  /** `"unmatched"`: the handler does not want it. */
  readonly at: "done" | "failed" | "unmatched";
  /** What orders it and scopes its state. */
  readonly key: string;
  /** In order. Nothing of an event that failed. */
  readonly outputs: readonly Output[];
  readonly published: readonly Published[];
  readonly logs: readonly { readonly level: "debug" | "info" | "warn" | "error"; readonly message: string }[];
  readonly fetched: readonly Fetched[];
  readonly failure?: HandlerFailure | undefined;
  readonly tookMs: number;
}

/** A handler that is loaded, in an isolate with its limits. */
export interface OpenedHandler extends AsyncDisposable {
  readonly name: string;
  /** When the last event came; the next one comes then too, unless it says `after`. */
  time: Date;
  /**
   * Sends an event and tells what became of it. Text and `Uint8Array` are the payload as it is, everything else as JSON. An
   * event that fails is not tried again, and does not throw here.
   */
  send(topic: string, payload?: unknown, options?: SendOptions): Promise<HandlerRun>;
  /** Calls the handler's webhook: `path` is below `/hooks`. A call that the gateway would refuse for its path or method is unmatched. */
  call(path: string, payload?: unknown, options?: CallOptions): Promise<HandlerRun>;
  /** Tells it what happens in the gateway, such as `"device.connected"`; `data` as in {@link Notices}. */
  notice(name: keyof Notices, data?: object, options?: NoticeOptions): Promise<HandlerRun>;
  /** Lets time pass: the handler's schedule ticks when it is due, at most 1,000 times. What became of each tick, in order. */
  pass(time: number | Duration): Promise<readonly HandlerRun[]>;
  /** The state of a key; undefined when it has none. */
  state(key: string): Parsed;
  /** `undefined` removes it. */
  setState(key: string, state: object | undefined): void;
  /** All states, by key. */
  readonly states: { readonly [key: string]: Parsed };
  /** Ends its process. */
  close(): Promise<void>;
}

/**
 * Builds the handler in `file`, loads it, and keeps it until it is closed. Rejects with what a deploy would refuse it for. It
 * takes some tenths of a second for a process: open a handler once for a file of tests.
 */
export function openHandler(file: string | URL, options?: OpenHandlerOptions): Promise<OpenedHandler>;
