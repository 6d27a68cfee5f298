/**
 * Methods that every Node Buffer has and @types/node leaves out. They are what `toString` and `write` call after
 * looking at their arguments, and on the hot path that look is a third of the cost.
 */
interface Buffer {
  utf8Write(text: string, offset?: number, length?: number): number;
  latin1Write(text: string, offset?: number, length?: number): number;
  utf8Slice(start?: number, end?: number): string;
  latin1Slice(start?: number, end?: number): string;
}
