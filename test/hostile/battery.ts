/** The battery: every hostile handler, by family, in the order in which they run. */
import { escapes, tampering } from "./battery/escapes.ts";
import { floods } from "./battery/floods.ts";
import type { Hostile } from "./battery/hostile.ts";
import { loops, recursion } from "./battery/loops.ts";
import { memory } from "./battery/memory.ts";
import { loads } from "./battery/modules.ts";
import { results } from "./battery/results.ts";
import { answers, rejections, waits } from "./battery/waits.ts";

export const BATTERY: readonly Hostile[] = [
  ...loads,
  ...escapes,
  ...tampering,
  ...results,
  ...floods,
  ...waits,
  ...answers,
  ...rejections,
  ...recursion,
  ...loops,
  ...memory,
];

/** What takes seconds, and shows what another one shows in less. */
const RARELY = new Set([
  "stuck-power",
  "stuck-fill",
  "eat-maps",
  "eat-promises",
  "eat-code",
  "eat-result",
  "eat-property-names",
  "eat-spread",
  "eat-doubling-text",
  "eat-split-text",
  "eat-stringified",
]);

/**
 * `SLUICE_HOSTILE` in the environment: `all`, or a regular expression of names for whoever looks into some; without it
 * all but what is run rarely.
 */
export function chosen(wanted = process.env["SLUICE_HOSTILE"]): readonly Hostile[] {
  if (wanted === "all") return BATTERY;
  if (wanted !== undefined && wanted !== "") return BATTERY.filter(({ name }) => new RegExp(wanted).test(name));
  return BATTERY.filter(({ name }) => !RARELY.has(name));
}
