/**
 * Leaf: text of others where a terminal may show it. What a handler, a device or a caller says must not move the cursor,
 * change colours, begin a line that looks like ours, or be read in another order than it has.
 */

/** Control characters, separators of lines, and what turns the direction of text. */
// oxlint-disable-next-line no-control-regex -- control characters are what is looked for
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** As one line, without them. */
export function plain(text: string): string {
  return text.replaceAll(/\s*\n\s*/g, " ").replaceAll(UNSEEN, "�");
}

/** Line by line. */
export function plainLines(text: string): string {
  return text.split("\n").map(plain).join("\n");
}

/** The same JSON, with escapes for those that JSON lets pass. */
export function harmless(json: string): string {
  return json.replaceAll(UNSEEN, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
