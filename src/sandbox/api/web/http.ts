/** Headers and Response; what a handler that fetches has of both. */
import { expose } from "./expose.ts";
import { Headers } from "./headers.ts";
import type { WebHost } from "./host.ts";
import { Response } from "./response.ts";

/** For the house's fetch, which finds it beside `install`. */
export { received } from "./response.ts";

export function install(host: WebHost): void {
  expose(host, { Headers, Response });
}
