/** Leaf: what LevelDB means by an error, for whoever has a database of it. abstract-level may have wrapped it. */
import { messageOf } from "./fault.ts";

/** The code that classic-level gave, "" when there is none. */
export function storeCode(error: unknown): string {
  if (!(error instanceof Error)) return "";
  const cause = error.cause as { code?: unknown } | undefined;
  const code = typeof cause?.code === "string" ? cause.code : (error as { code?: unknown }).code;
  return typeof code === "string" ? code : "";
}

/** The store was closed under a read, because it is being reopened: the read is to be done again. */
export function wasClosed(error: unknown): boolean {
  const code = storeCode(error);
  return code === "LEVEL_DATABASE_NOT_OPEN" || code === "LEVEL_ITERATOR_NOT_OPEN" || code === "LEVEL_ABORTED";
}

/** What LevelDB says of a table that is shorter than it ought to be, or gone, after "IO error". */
const CUT = /invalid argument|no such file/i;

/** Rows are gone. Any other error says only that they cannot be read at the moment. */
export function isDamage(error: unknown): boolean {
  const code = storeCode(error);
  return code === "LEVEL_CORRUPTION" || (code === "LEVEL_IO_ERROR" && CUT.test(deepest(error)));
}

/** LevelDB's own words. */
export function deepest(error: unknown): string {
  return error instanceof Error && error.cause instanceof Error ? error.cause.message : messageOf(error);
}
