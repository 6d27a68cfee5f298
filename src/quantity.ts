/**
 * Leaf: sizes and durations as people write them in config ("64KB", "500ms"), paths and names of secrets, for the
 * rooms' schemas.
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

/** What config may say: a number that counts exactly. */
interface Bounds {
  /** As a person writes it. */
  readonly min?: string;
  readonly max?: string;
}

/** A zod piece: text such as "64KB" in, bytes out, which are a safe integer. */
export const size = sizeWithin({});

/** The same within bounds. */
export function sizeWithin(bounds: Bounds): Quantity {
  return quantity(SIZE, parseSize, "write a size such as 512B, 64KB, 20MB or 1GB", bounds);
}

/** A zod piece: text such as "10s" in, milliseconds out, which are a safe integer. */
export const duration = durationWithin({});

/** The same within bounds. */
export function durationWithin(bounds: Bounds): Quantity {
  return quantity(DURATION, parseDuration, "write a duration such as 500ms, 10s, 5m, 24h or 7d", bounds);
}

type Quantity = z.ZodPipe<z.ZodString, z.ZodTransform<number, string>>;

function quantity(
  pattern: RegExp,
  parse: (text: string) => number | undefined,
  error: string,
  { min, max }: Bounds,
): Quantity {
  const least = min === undefined ? 0 : (parse(min) as number);
  const most = max === undefined ? Number.MAX_SAFE_INTEGER : (parse(max) as number);
  return z
    .string()
    .regex(pattern, { error })
    .transform((text, ctx) => {
      const value = parse(text);
      if (value !== undefined && value < least) ctx.addIssue({ code: "custom", message: `must be at least ${min}` });
      if (value !== undefined && value > most) {
        ctx.addIssue({ code: "custom", message: max === undefined ? "is too large" : `must be at most ${max}` });
      }
      return value ?? 0;
    });
}

/** A zod piece: the path of a file or folder. config.ts makes it absolute, relative to the config file. */
export const filePath = z.string().min(1, { error: "write a path" }).meta({ format: "path" });

/** A zod piece: the name of a secret, in the section `secrets` and wherever one is asked for. */
export const secretName = z.string().regex(/^[A-Za-z][A-Za-z0-9_-]{0,62}$/, {
  error: "use at most 63 letters, digits, _ and -, a letter first",
});
