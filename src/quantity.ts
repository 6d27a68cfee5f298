/**
 * Leaf: sizes and durations as people write them in config ("64KB", "500ms"), for the rooms' schemas.
 */
import { z } from "zod";

const SIZE = /^(\d+(?:\.\d+)?)\s*(B|KB|MB|GB|TB)$/i;
const BYTES: Record<string, number> = { B: 1, KB: 1024, MB: 1024 ** 2, GB: 1024 ** 3, TB: 1024 ** 4 };

const DURATION = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)$/;
const MILLISECONDS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Bytes, or undefined when the text is no size. KB is 1,024 bytes. */
export function parseSize(text: string): number | undefined {
  const match = SIZE.exec(text.trim());
  if (match === null) return undefined;
  return Math.round(Number(match[1]) * (BYTES[(match[2] as string).toUpperCase()] as number));
}

/** Milliseconds, or undefined when the text is no duration. */
export function parseDuration(text: string): number | undefined {
  const match = DURATION.exec(text.trim());
  if (match === null) return undefined;
  return Math.round(Number(match[1]) * (MILLISECONDS[match[2] as string] as number));
}

/** A zod piece: text such as "64KB" in, bytes out. */
export const size = z
  .string()
  .regex(SIZE, { error: "write a size such as 512B, 64KB, 20MB or 1GB" })
  .transform((text) => parseSize(text) as number);

/** A zod piece: text such as "10s" in, milliseconds out. */
export const duration = z
  .string()
  .regex(DURATION, { error: "write a duration such as 500ms, 10s, 5m, 24h or 7d" })
  .transform((text) => parseDuration(text) as number);

/** A zod piece: the path of a file or folder. config.ts makes it absolute, relative to the config file. */
export const filePath = z.string().min(1, { error: "write a path" }).meta({ format: "path" });
