/** Which host names mean this box and nobody else. */
import { isIPv4 } from "node:net";

/** `host` as URL.hostname or a Host header gives it: IPv6 in brackets or not, without a port. */
export function isLoopback(host: string): boolean {
  const name = host.toLowerCase().replace(/^\[|\]$/g, "");
  if (name === "localhost" || name === "::1") return true;
  return isIPv4(name) && name.startsWith("127.");
}
