/**
 * Leaf: a handler's fetch as it passes between rooms: which origins are granted, what is asked for, and how it ends.
 */

import type { FETCH_FAULTS } from "./fetch-faults.ts";

/** An origin that a handler may fetch from. */
export interface FetchGrant {
  /** "https://api.example.com", "http://192.168.1.5:8080": as `URL` writes it, without a path. */
  readonly origin: string;
  /** Whether its name may resolve to a private address. */
  readonly private: boolean;
}

/** As a person wrote the origin, or what is wrong with it. */
export function parseOrigin(text: string): { readonly origin: string } | { readonly flaw: string } {
  const url = URL.parse(text);
  if (url === null || (url.protocol !== "https:" && url.protocol !== "http:"))
    return { flaw: "write an origin such as https://api.example.com or http://192.168.1.5:8080" };
  if (url.username !== "" || url.password !== "") return { flaw: "an origin has no user name and no password" };
  if (url.hostname.includes("*")) return { flaw: "an origin has no wildcards: grant each host by its name" };
  if (url.pathname !== "/" || url.search !== "" || url.hash !== "")
    return { flaw: `grants are for whole origins, not for paths: write ${url.origin}` };
  return { origin: url.origin };
}

export interface FetchAsk {
  readonly url: string;
  readonly method: string;
  readonly headers: readonly (readonly [string, string])[];
  readonly body: Buffer | undefined;
  /** What becomes of a redirect: it is followed, is a failure, or is the answer. */
  readonly redirect: "follow" | "error" | "manual";
}

export interface FetchRequest {
  readonly handler: string;
  readonly grants: readonly FetchGrant[];
  /** It may take so long at the most. */
  readonly timeoutMs: number;
  /** Longest answer, unpacked. */
  readonly responseBytesMax: number;
  readonly ask: FetchAsk;
}

export type FetchEnd =
  | {
      readonly at: "answered";
      readonly status: number;
      readonly statusText: string;
      /** Where it came from at last, and whether that is not where it was asked for. */
      readonly url: string;
      readonly redirected: boolean;
      readonly headers: readonly (readonly [string, string])[];
      /** Decoded; undefined where an answer has none. */
      readonly body: Buffer | undefined;
    }
  /** `final`: asking again cannot help. */
  | { readonly at: "failed"; readonly code: FetchFault; readonly message: string; readonly final: boolean };

/** SANDBOX_FETCHES_TOO_MANY is said inside only. */
export type FetchFault = Exclude<keyof typeof FETCH_FAULTS, "SANDBOX_FETCHES_TOO_MANY">;

/**
 * Makes a request. `done` is called once, unless it is aborted before by what this returns; never before this returns.
 * `release` is to be called when the body of the answer is not in memory any more.
 */
export type Fetch = (request: FetchRequest, done: (end: FetchEnd, release: () => void) => void) => () => void;
