/**
 * Rig: what every story begins with.
 */
import { onTestFailed } from "vitest";
import { seededRandom } from "./random.ts";
import type { Random } from "./random.ts";

/** This test's chance. When the test fails, the seed that repeats its draws is printed. */
export function chance(): Random {
  const random = seededRandom();
  onTestFailed(() => {
    process.stderr.write(`\n  SLUICE_SEED=${random.seed} repeats this story's draws\n`);
  });
  return random;
}
