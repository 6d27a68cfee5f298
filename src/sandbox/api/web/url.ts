/**
 * URL and URLSearchParams, of a library: parsing as the web does is a matter of thousands of cases. Its tables of the
 * characters of host names are base64, which it reads with the global `atob` while this text is evaluated; so that one
 * is installed before.
 */
import { URL, URLSearchParams } from "whatwg-url-minimum";
import { expose } from "./expose.ts";
import type { WebHost } from "./host.ts";

export function install(host: WebHost): void {
  expose(host, { URL, URLSearchParams });
}
