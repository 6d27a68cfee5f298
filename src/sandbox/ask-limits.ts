/** What an ask may be: the guest keeps to it, and the gateway checks that it did. */

export interface AskLimits {
  /** Fetches of one event under way at a time. */
  readonly fetchesMax: number;
  readonly fetchRequestBytesMax: number;
}

export const ASK_LIMITS = { urlChars: 8192, methodChars: 32, headers: 100, headerChars: 16_384 } as const;
