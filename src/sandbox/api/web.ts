/**
 * The web's globals that a handler can have, and which of them one needs.
 *
 * Each capability is a file in web/ and a text by itself (programs.ts), evaluated in an isolate only when the handler's
 * bundle has one of its globals' names somewhere in it: most handlers have none, and start as fast as if there were
 * none. A name in a comment or a text costs a little and harms nothing.
 */

interface WebApi {
  /** The file in web/. */
  readonly name: string;
  readonly globals: readonly string[];
  /** What is installed before it. */
  readonly needs: readonly string[];
}

/** In an order in which they can be installed. */
export const WEB_APIS: readonly WebApi[] = [
  { name: "exceptions", globals: ["DOMException"], needs: [] },
  { name: "encoding", globals: ["TextEncoder", "TextDecoder"], needs: [] },
  { name: "base64", globals: ["atob", "btoa"], needs: ["exceptions"] },
  { name: "events", globals: ["Event", "EventTarget", "AbortController", "AbortSignal"], needs: ["exceptions"] },
  { name: "clone", globals: ["structuredClone"], needs: ["exceptions"] },
  { name: "url", globals: ["URL", "URLSearchParams"], needs: ["base64"] },
  { name: "crypto", globals: ["crypto", "Crypto", "CryptoKey", "SubtleCrypto"], needs: ["exceptions"] },
  { name: "http", globals: ["Headers", "Response"], needs: [] },
  { name: "request", globals: ["Request"], needs: ["events", "url", "http"] },
  { name: "fetch", globals: ["fetch"], needs: ["request"] },
];

const GLOBALS = WEB_APIS.flatMap(({ globals }) => globals);

/** The capabilities that the text of a bundle speaks of and those that they need, in the order to install them in. */
export function webApisOf(code: string): string[] {
  const words = new RegExp(`\\b(?:${GLOBALS.join("|")})\\b`, "g");
  const mentioned = new Set<string>();
  for (const [word] of code.matchAll(words)) {
    mentioned.add(word);
    if (mentioned.size === GLOBALS.length) break;
  }
  const wanted = new Set<string>();
  // What is needed stands before what needs it: one walk from the end finds all.
  for (const { name, globals, needs } of [...WEB_APIS].reverse()) {
    if (!wanted.has(name) && !globals.some((global) => mentioned.has(global))) continue;
    wanted.add(name);
    for (const need of needs) wanted.add(need);
  }
  return WEB_APIS.filter(({ name }) => wanted.has(name)).map(({ name }) => name);
}
