/** A text as the web's interfaces take one: whatever is given is made a text, and only a symbol is a TypeError. */
export function textOf(value: unknown): string {
  // Not String(), which shows symbols.
  return "".concat(value as string);
}
