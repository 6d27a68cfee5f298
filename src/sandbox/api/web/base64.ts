/** atob and btoa. Source: https://infra.spec.whatwg.org/#forgiving-base64 */
import { expose } from "./expose.ts";
import type { WebHost } from "./host.ts";
import { exception } from "./thrown.ts";
import { textOf } from "./text-of.ts";

const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const WHITE_SPACE = /[\t\n\f\r ]+/g;

/** The value of each digit by its character code. Made when it is first asked for, not when the isolate starts. */
let values: Int8Array | undefined;

function digitValues(): Int8Array {
  if (values === undefined) {
    values = new Int8Array(128).fill(-1);
    for (let value = 0; value < 64; value++) values[DIGITS.charCodeAt(value)] = value;
  }
  return values;
}

/** Text of which each character is a byte, from base64 with or without padding and white space. */
function atob(...given: readonly unknown[]): string {
  if (given.length === 0) throw new TypeError("atob() needs a text");
  let digits = textOf(given[0]).replace(WHITE_SPACE, "");
  if (digits.length % 4 === 0) digits = digits.replace(/={1,2}$/, "");
  if (digits.length % 4 === 1) throw exception("InvalidCharacterError", "The text is not correctly encoded base64");
  const table = digitValues();
  let text = "";
  let bits = 0;
  for (let at = 0; at < digits.length; at++) {
    const value = table[digits.charCodeAt(at)] ?? -1;
    if (value < 0) throw exception("InvalidCharacterError", "The text is not correctly encoded base64");
    bits = ((bits << 6) | value) & 0xffffff;
    // The first digit of four ends no byte; each further one ends the byte that began before it.
    const nth = at % 4;
    if (nth > 0) text += String.fromCharCode((bits >> (6 - 2 * nth)) & 0xff);
  }
  return text;
}

function btoa(...given: readonly unknown[]): string {
  if (given.length === 0) throw new TypeError("btoa() needs a text");
  const text = textOf(given[0]);
  let digits = "";
  for (let at = 0; at < text.length; at += 3) {
    let bits = 0;
    for (let nth = 0; nth < 3; nth++) {
      const unit = at + nth < text.length ? text.charCodeAt(at + nth) : 0;
      if (unit > 0xff) throw exception("InvalidCharacterError", "The text has a character beyond U+00FF");
      bits = (bits << 8) | unit;
    }
    for (let nth = 0; nth < 4; nth++) {
      digits += at + nth > text.length ? "=" : (DIGITS[(bits >> (18 - 6 * nth)) & 0x3f] as string);
    }
  }
  return digits;
}

export function install(host: WebHost): void {
  expose(host, { atob, btoa });
}
