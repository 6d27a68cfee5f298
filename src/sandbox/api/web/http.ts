/** Headers and Response; what a handler that fetches has of both. */
import { expose } from "./expose.ts";
import { Headers } from "./headers.ts";
import type { WebHost } from "./host.ts";
import { Response, received } from "./response.ts";

export function install(host: WebHost): void {
  expose(host, { Headers, Response });
  host.beside.received = received;
}
