import fc from "fast-check";
import { beforeAll, describe, it } from "vitest";
import { bare } from "./bare.ts";
import type { Bare } from "./bare.ts";

let web: Bare;
beforeAll(async () => {
  web = await bare(["base64"]);
});

describe("atob()", () => {
  it("takes and refuses what Node takes and refuses", async () => {
    const piece = fc.constantFrom(
      "A",
      "Q",
      "/",
      "+",
      "=",
      "==",
      "b",
      "9",
      " ",
      "\n",
      "\t",
      "\f",
      "-",
      "_",
      "ü",
      "\0",
      "\v",
    );
    await fc.assert(
      fc.asyncProperty(fc.array(piece, { maxLength: 9 }), (pieces) =>
        web.sameAsNode(`return atob(given)`, pieces.join("")),
      ),
      { numRuns: 3000 },
    );
  });

  it("takes anything for a text", async () => {
    for (const given of ["", "undefined", "null", "12", "[]", "{}", "Symbol()", "{ toString() { return 'YQ' } }"]) {
      await web.sameAsNode(`return atob(${given})`);
    }
    await web.sameAsNode(`return [atob.name, btoa.name]`);
  });
});

describe("btoa()", () => {
  it("makes the digits that Node makes, and atob() reads them back", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 0, max: 255 }), { maxLength: 50 }), (bytes) =>
        web.sameAsNode(
          `const text = String.fromCharCode(...given); return [btoa(text), atob(btoa(text)) === text]`,
          bytes,
        ),
      ),
      { numRuns: 500 },
    );
  });

  it("refuses what is no byte", async () => {
    for (const text of ["\u0100", "aü€", "😀"]) await web.sameAsNode(`return btoa(given)`, text);
    for (const given of ["", "undefined", "null", "12"]) await web.sameAsNode(`return btoa(${given})`);
  });
});
