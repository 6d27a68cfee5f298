import type { Asked, Asker } from "../asks.ts";
import type { Received, Response } from "./response.ts";

/**
 * What the web's globals ask of the house: a place to be put, the time, chance, and a way to ask the gateway for something.
 * Everything else is ECMAScript.
 */
export interface WebHost {
  /** Defines a global like a built-in: not enumerable, writable, configurable. */
  readonly global: (name: string, value: unknown) => void;
  /** Milliseconds since 1970, may be fractional. */
  readonly now: () => number;
  /** 32 bytes that nobody can foresee; others for each isolate. */
  readonly seed: Uint8Array;
  /** In a captured run: bytes that follow from the event, so that it can be repeated. They are no secret. */
  readonly repeatable?: (into: Uint8Array) => void;
  /** Has a request made. Throws when it cannot be; returns what takes it back. */
  readonly ask: (asked: Asked, asker: Asker) => () => void;
  /** What one capability leaves for those installed after it, and for the house. */
  readonly beside: Beside;
}

/** Each capability is bundled by itself, and a class has its insides once: what others need of them they find here. */
export interface Beside {
  /** The Response that a fetch ends with. */
  received?: (answer: Received) => Response;
  /** What is to be sent for a Request, whose body is used up by it. */
  sending?: (request: unknown) => Sending;
  /** A signal, and what aborts it. */
  controlled?: () => Controlled;
}

export interface Sending {
  readonly asked: Asked;
  readonly signal: AbortSignal;
}

export interface Controlled {
  readonly signal: object;
  readonly abort: (reason: unknown) => void;
}
