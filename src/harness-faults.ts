/** Leaf: what can go wrong when handlers are tried out without a gateway. A part of the table in faults.ts. */
import { kind } from "./fault-kind.ts";

export const HARNESS_FAULTS = {
  HARNESS_NO_HANDLER: kind(
    "usage",
    false,
    "Name a handler that is in the handlers' folder: its file's name without the extension.",
  ),
  HARNESS_NO_CASES: kind(
    "usage",
    false,
    "Write cases beside the handler, in <name>.cases.yaml; docs/testing-handlers.md shows how.",
  ),
  CASES_INVALID: kind(
    "usage",
    false,
    "Mend the place that is named; docs/testing-handlers.md has all that a case may say.",
  ),
  CASES_UNREADABLE: kind("usage", false, "Check the file's path, its permissions and its size."),
} as const;
