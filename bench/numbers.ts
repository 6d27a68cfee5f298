/** Medians and quantiles. */

export function quantile(values: readonly number[], q: number): number {
  if (values.length === 0) return Number.NaN;
  const sorted = values.toSorted((a, b) => a - b);
  const at = (sorted.length - 1) * q;
  const low = sorted[Math.floor(at)] as number;
  return low + ((sorted[Math.ceil(at)] as number) - low) * (at - Math.floor(at));
}

export const median = (values: readonly number[]): number => quantile(values, 0.5);

/** Half the distance from the lowest to the highest, as a share of the median: how noisy it was. */
export function spread(values: readonly number[]): number {
  return (Math.max(...values) - Math.min(...values)) / 2 / median(values);
}

export const round = (value: number, digits: number): number => Math.round(value * 10 ** digits) / 10 ** digits;

export const thousands = (value: number): string => Math.round(value).toLocaleString("en-US");
