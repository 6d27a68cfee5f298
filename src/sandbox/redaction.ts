/**
 * Takes a handler's secrets out of what it says: log lines, failures, and whatever else of its runner reaches the log.
 * It is done in the gateway, where no handler can change it.
 *
 * This is for accidents: an error that quotes the request, an object that is logged whole. A handler that wants to give
 * a secret away can write it backwards.
 */

/** Takes the secrets out of a text. */
export type Redact = (text: string) => string;

/** A text of at least so many characters may have been cut off within a secret. */
const CUT_CHARS = 900;
/** So much of a secret at a text's end is a piece of it; less may be any word. */
const PIECE_CHARS = 4;
const SPECIAL = /[\\^$.*+?()[\]{}|/-]/g;

export const AS_IT_IS: Redact = (text) => text;

/** `secrets`: values by name. `lineChars`: where log lines are cut. */
export function redaction(secrets: Readonly<Record<string, string>>, lineChars: number): Redact {
  const names = new Map<string, string>();
  for (const [name, value] of Object.entries(secrets)) {
    for (const form of formsOf(value)) if (!names.has(form)) names.set(form, name);
  }
  if (names.size === 0) return AS_IT_IS;
  // Of two that begin alike the longer one is meant.
  const forms = [...names.keys()].sort((a, b) => b.length - a.length);
  const secret = new RegExp(forms.map((form) => form.replace(SPECIAL, "\\$&")).join("|"), "g");
  const cutChars = Math.min(CUT_CHARS, lineChars);
  return (text) => {
    const whole = text.replace(secret, (found) => `[secret ${names.get(found) ?? ""}]`);
    if (text.length < cutChars) return whole;
    for (const form of forms) {
      for (let chars = Math.min(form.length - 1, text.length); chars >= PIECE_CHARS; chars--) {
        if (whole.endsWith(form.slice(0, chars))) return `${whole.slice(0, -chars)}[secret ${names.get(form) ?? ""}]`;
      }
    }
    return whole;
  };
}

/** As it is, within JSON, within an address. */
function formsOf(value: string): Set<string> {
  return new Set([value, JSON.stringify(value).slice(1, -1), encodeURIComponent(value.toWellFormed())]);
}
