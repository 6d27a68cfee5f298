/**
 * What kind of address a name resolved to, and whether a grant reaches it. Source: IANA's special-purpose registries of
 * IPv4 and IPv6 addresses (RFC 6890).
 *
 * A name that somebody else's DNS answers for must not lead into the box or its network: not by mistake, and not by a
 * name that is rebound. So a name reaches public addresses only, or private ones too when its grant says `private`; the
 * box itself, link-local addresses (and with them the metadata services of clouds) and what is no host at all are reached
 * by nobody who does not name the address itself.
 */
import { BlockList, isIPv4, isIPv6 } from "node:net";

/** `forbidden`: loopback, link-local, multicast, unspecified, reserved, or an address that hides another one. */
export type Reach = "public" | "private" | "forbidden";

function ranges(family: "ipv4" | "ipv6", ...subnets: readonly string[]): BlockList {
  const list = new BlockList();
  for (const subnet of subnets) {
    const [net, prefix] = subnet.split("/") as [string, string];
    list.addSubnet(net, Number(prefix), family);
  }
  return list;
}

const LOOPBACK_4 = ranges("ipv4", "127.0.0.0/8");
const LOOPBACK_6 = ranges("ipv6", "::1/128");
/** RFC 1918, and the shared space of carriers (RFC 6598). */
const PRIVATE_4 = ranges("ipv4", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10");
/** Unique local addresses. */
const PRIVATE_6 = ranges("ipv6", "fc00::/7");
const FORBIDDEN_4 = ranges(
  "ipv4",
  "0.0.0.0/8", // this network
  "127.0.0.0/8", // loopback
  "169.254.0.0/16", // link-local, and metadata services
  "192.0.0.0/24", // protocol assignments
  "192.0.2.0/24", // documentation
  "192.88.99.0/24", // 6to4 relays
  "198.18.0.0/15", // benchmarks
  "198.51.100.0/24", // documentation
  "203.0.113.0/24", // documentation
  "224.0.0.0/4", // multicast
  "240.0.0.0/4", // reserved, and broadcast
);
/** All of IPv6 that is given out as global; what is special within it follows. */
const GLOBAL_6 = ranges("ipv6", "2000::/3");
const SPECIAL_6 = ranges(
  "ipv6",
  "2001::/23", // protocol assignments, Teredo
  "2001:db8::/32", // documentation
  "2002::/16", // 6to4
  "3fff::/20", // documentation
);
/** Of which the last 32 bits are the IPv4 address that is meant (RFC 6052). */
const NAT64 = ranges("ipv6", "64:ff9b::/96");

/** `address`: a numeric one; anything else is forbidden. */
export function reachOf(address: string): Reach {
  if (isIPv4(address)) {
    if (FORBIDDEN_4.check(address, "ipv4")) return "forbidden";
    return PRIVATE_4.check(address, "ipv4") ? "private" : "public";
  }
  // With a zone it is link-local. One that maps IPv4 is below 2000::/3, and no DNS has a reason to answer with it.
  if (!isIPv6(address) || address.includes("%")) return "forbidden";
  if (NAT64.check(address, "ipv6")) {
    // Where there is IPv6 only, this is how the rest of the internet looks. What is private must not be reached by it.
    return reachOf(lastFourBytes(address)) === "public" ? "public" : "forbidden";
  }
  if (PRIVATE_6.check(address, "ipv6")) return "private";
  return GLOBAL_6.check(address, "ipv6") && !SPECIAL_6.check(address, "ipv6") ? "public" : "forbidden";
}

export function isLoopback(address: string): boolean {
  return isIPv4(address) ? LOOPBACK_4.check(address, "ipv4") : isIPv6(address) && LOOPBACK_6.check(address, "ipv6");
}

/** "64:ff9b::a00:1" and "64:ff9b::10.0.0.1" → "10.0.0.1". */
function lastFourBytes(address: string): string {
  // URL writes every IPv6 address in one way: hexadecimal groups, the last two of which are meant.
  const groups = new URL(`http://[${address}]`).hostname.slice(1, -1).split(":");
  const [high, low] = groups.slice(-2).map((group) => Number.parseInt(group === "" ? "0" : group, 16)) as [
    number,
    number,
  ];
  return [high >> 8, high & 0xff, low >> 8, low & 0xff].join(".");
}
