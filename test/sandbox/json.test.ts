import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isJson } from "../../src/sandbox/json.ts";

const check = (text: string): boolean => {
  const bytes = Buffer.from(`xx${text}yy`);
  return isJson(bytes, 2, bytes.length - 2);
};

describe("isJson()", () => {
  it("takes whatever JSON.stringify writes", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => check(JSON.stringify(value))),
      { numRuns: 1000 },
    );
  });

  it("agrees with JSON.parse about texts that are nearly JSON", () => {
    const pieces = fc.constantFrom(
      "{",
      "}",
      "[",
      "]",
      ",",
      ":",
      '"',
      '"a"',
      "1",
      "-",
      "0",
      ".5",
      "e",
      "E+1",
      "true",
      "null",
      "fals",
      "\\",
      "\\u00",
      "\\u12aF",
      "ü",
      "\t",
    );
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 12 }), (parts) => {
        const text = parts.join("");
        let parses = true;
        try {
          JSON.parse(text);
        } catch {
          parses = false;
        }
        // White space between tokens is JSON, and nothing that JSON.stringify writes.
        if (parses && /\t/.test(text)) return;
        expect([text, check(text)]).toEqual([text, parses]);
      }),
      { numRuns: 5000 },
    );
  });

  it("refuses what is cut off anywhere", () => {
    const text = '{"a":[1.5e-3,true,null,{"b":"\\u00e4\\n"}],"c":-0}';
    expect(check(text)).toBe(true);
    for (let end = 0; end < text.length; end++) expect(check(text.slice(0, end))).toBe(false);
  });

  it("refuses nesting without end", () => {
    expect(check("[".repeat(400) + "]".repeat(400))).toBe(true);
    expect(check("[".repeat(100_000) + "]".repeat(100_000))).toBe(false);
  });
});
