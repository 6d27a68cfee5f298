/** What the web's globals ask of the house: a place to be put, the time, and chance. Everything else is ECMAScript. */
export interface WebHost {
  /** Defines a global like a built-in: not enumerable, writable, configurable. */
  readonly global: (name: string, value: unknown) => void;
  /** Milliseconds since 1970, may be fractional. */
  readonly now: () => number;
  /** 32 bytes that nobody can foresee; others for each isolate. */
  readonly seed: Uint8Array;
  /** In a captured run: bytes that follow from the event, so that it can be repeated. They are no secret. */
  readonly repeatable?: (into: Uint8Array) => void;
}
