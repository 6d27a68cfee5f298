/** What an ask may be: the guest keeps to it, and the gateway checks that it did. */

export interface AskLimits {
  /** Fetches of one event under way at a time. */
  readonly fetchesMax: number;
  /** Fetches that it makes in all. */
  readonly fetchesPerEvent: number;
  readonly fetchRequestBytesMax: number;
}

export const ASK_LIMITS = {
  urlChars: 8192,
  methodChars: 32,
  headers: 100,
  headerChars: 16_384,
  /** Of all bodies that one event sends. */
  eventBodyBytes: 32 * 1024 * 1024,
  /** A batch that has asked so often, or for so many bytes, begins no further event. */
  batchAsks: 1000,
  batchBodyBytes: 32 * 1024 * 1024,
} as const;
