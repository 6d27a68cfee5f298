/** Leaf: the part of the table of faults that is about what handlers fetch. */
import { kind } from "./fault-kind.ts";
import type { FaultKind } from "./fault-kind.ts";

export const FETCH_FAULTS = {
  HANDLER_FETCH_ADDRESS: kind(
    "config",
    true,
    "If the private address is meant, grant { origin, private: true }, or the address itself; else look at who answers for the name.",
  ),
  HANDLER_FETCH_DENIED: kind(
    "config",
    false,
    "Add the origin to `fetch` of the handler's config or of `handlers.settings.<name>` if it is to be reached, then redrive what was given up. One that a redirect leads to was chosen by the other side: grant it only if you trust it.",
  ),
  HANDLER_FETCH_FAILED: kind(
    "peer",
    true,
    "Nothing to do if the other side is expected to be away: the event is tried again. Else check the address, DNS and the firewall.",
  ),
  HANDLER_FETCH_INVALID: kind("handler", false, "Mend the address, the method or the header that the message names."),
  HANDLER_FETCH_TIMEOUT: kind(
    "peer",
    true,
    "See whether the other side is overloaded, or raise `limits.fetchTimeout` and the handler's `timeout`.",
  ),
  SANDBOX_FETCHES_TOO_MANY: kind(
    "handler",
    false,
    "Fetch fewer things for one event, or fewer side by side; or raise the limit that the message tells: `limits.fetchesMax` or `limits.fetchesPerEvent`.",
  ),
  SANDBOX_FETCH_BUSY: kind(
    "box",
    true,
    "The event is tried again. Lower `concurrency` or `limits.fetchesMax`, or raise `sandbox.fetchesTotalMax` or `sandbox.fetchBytesTotalMax`.",
  ),
  SANDBOX_FETCH_TOO_LARGE: kind(
    "handler",
    false,
    "Ask for less or send less, or raise `limits.fetchResponseMax` or `limits.fetchRequestMax`.",
  ),
} as const satisfies Record<string, FaultKind>;
