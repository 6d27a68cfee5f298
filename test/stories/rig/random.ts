/**
 * Rig: chance that can be had again. Every story draws from one generator, and a story that fails prints the seed.
 */

export interface Random {
  readonly seed: number;
  /** [0, 1) */
  readonly next: () => number;
  /** An integer, both ends included. */
  between(low: number, high: number): number;
  pick<T>(from: readonly T[]): T;
}

/** `SLUICE_SEED` in the environment repeats an earlier run's draws (not its scheduling: processes and disks have their own). */
export function seededRandom(seed = seedOf(process.env.SLUICE_SEED)): Random {
  let state = seed >>> 0;
  const next = (): number => {
    // mulberry32: 32 bits of state, good enough to place kills.
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const between = (low: number, high: number): number => low + Math.floor(next() * (high - low + 1));
  return { seed, next, between, pick: (from) => from[between(0, from.length - 1)] as (typeof from)[number] };
}

function seedOf(text: string | undefined): number {
  return text === undefined || text === "" ? Math.floor(Math.random() * 2 ** 31) : Number(text);
}
