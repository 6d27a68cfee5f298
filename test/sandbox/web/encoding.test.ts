import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { bare } from "./bare.ts";
import type { Bare } from "./bare.ts";

let web: Bare;
beforeAll(async () => {
  web = await bare(["encoding"]);
});

/** Bytes that are nearly UTF-8: whole characters, their pieces, and what is never in a text. */
const nearlyUtf8 = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        [0xef, 0xbb, 0xbf],
        [0xf0, 0x9f, 0x98, 0x80],
        [0xe2, 0x82, 0xac],
        [0xc3, 0xbc],
        [0xf0, 0x9f],
        [0xe0, 0x80],
        [0xed, 0xa0, 0x80],
        [0xf4, 0x90],
        [0xc0, 0x80],
        [0x41],
      ),
      fc.array(fc.integer({ min: 0, max: 255 }), { maxLength: 3 }),
    ),
    { maxLength: 12 },
  )
  .map((parts) => parts.flat());

const anyText = fc.string({ unit: "binary", maxLength: 40 });

describe("TextEncoder", () => {
  it("makes the bytes that Node makes, also of surrogates that are alone", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 20 }), (units) =>
        web.sameAsNode(`return new TextEncoder().encode(String.fromCharCode(...given)).join()`, units),
      ),
      { numRuns: 500 },
    );
    await fc.assert(
      fc.asyncProperty(anyText, (text) => web.sameAsNode(`return new TextEncoder().encode(given).join()`, text)),
    );
  });

  it("encodeInto() writes whole characters as far as there is room", async () => {
    await fc.assert(
      fc.asyncProperty(anyText, fc.nat(30), (text, room) =>
        web.sameAsNode(
          `const into = new Uint8Array(given.room);
           const { read, written } = new TextEncoder().encodeInto(given.text, into);
           return [read, written, into.subarray(0, written).join()]`,
          { text, room },
        ),
      ),
      { numRuns: 500 },
    );
  });

  it("takes what the standard takes", async () => {
    for (const given of ["", "undefined", "null", "12", "{ toString: () => 'ü' }", "Symbol()"]) {
      await web.sameAsNode(`return new TextEncoder().encode(${given}).join()`);
    }
    await web.sameAsNode(`return new TextEncoder().encoding`);
    await web.sameAsNode(`return new TextEncoder().encodeInto("a", [])`);
    await web.sameAsNode(`return [String(new TextEncoder()), TextEncoder.name]`);
  });
});

describe("TextDecoder", () => {
  it("reads well-formed and malformed UTF-8 as Node does, fatal or not", async () => {
    await fc.assert(
      fc.asyncProperty(nearlyUtf8, fc.boolean(), fc.boolean(), (bytes, fatal, ignoreBOM) =>
        web.sameAsNode(`return new TextDecoder("utf-8", given).decode(new Uint8Array(given.bytes))`, {
          bytes,
          fatal,
          ignoreBOM,
        }),
      ),
      { numRuns: 2000 },
    );
  });

  it("reads a stream cut anywhere as it reads the whole", async () => {
    await fc.assert(
      fc.asyncProperty(
        nearlyUtf8,
        fc.array(fc.nat(40), { maxLength: 5 }),
        fc.constantFrom("utf-8", "utf-16le"),
        async (bytes, cuts, label) => {
          const at = [0, ...cuts.map((cut) => Math.min(cut, bytes.length)).sort((a, b) => a - b), bytes.length];
          // Compared with the whole and not with Node, which drops two byte order marks when the first is cut.
          const { here } = await web.answers(
            `const decoder = new TextDecoder(given.label);
             let text = "";
             for (let i = 1; i < given.at.length; i++) {
               text += decoder.decode(new Uint8Array(given.bytes.slice(given.at[i - 1], given.at[i])), { stream: true });
             }
             text += decoder.decode();
             const whole = new TextDecoder(given.label).decode(new Uint8Array(given.bytes));
             return [text === whole, decoder.decode(new Uint8Array([65, 0])) === (given.label === "utf-8" ? "A\\0" : "A")]`,
            { bytes, at, label },
          );
          expect(here).toBe('Array:Array{"0":true,"1":true}2');
        },
      ),
      { numRuns: 1000 },
    );
  });

  it("reads UTF-16 as Node does, with halves of pairs and of units", async () => {
    const unit = fc.constantFrom(0x41, 0xfc, 0x20ac, 0xd83d, 0xde00, 0xfeff, 0xfffe);
    await fc.assert(
      fc.asyncProperty(fc.array(unit, { maxLength: 8 }), fc.boolean(), fc.boolean(), (units, odd, fatal) => {
        const bytes = [...units.flatMap((each) => [each & 0xff, each >> 8]), ...(odd ? [0x41] : [])];
        return web.sameAsNode(`return new TextDecoder("utf-16le", given).decode(new Uint8Array(given.bytes))`, {
          bytes,
          fatal,
        });
      }),
      { numRuns: 500 },
    );
  });

  it("reads latin1 as windows-1252, every byte of it", async () => {
    await web.sameAsNode(
      `return new TextDecoder("windows-1252").decode(Uint8Array.from({ length: 256 }, (_, byte) => byte))`,
    );
    expect(web.evaluate(`new TextDecoder("latin1").decode(new Uint8Array([0x80, 0x81, 0xfc]))`)).toBe(
      "\u20ac\x81\u00fc",
    );
  });

  it("knows its labels, and throws a RangeError at others", async () => {
    for (const label of ["utf8", " UTF-8\n", "unicode-1-1-utf-8", "utf-16", "ucs-2", "unicodefeff"]) {
      await web.sameAsNode(`return new TextDecoder(given).encoding`, label);
    }
    for (const label of ["latin1", "ascii", "iso-8859-1", "l1", "us-ascii", "cp1252", "x-cp1252"]) {
      await web.sameAsNode(`return new TextDecoder(given).encoding`, label);
    }
    for (const label of ["", "nonsense", "utf-8\0", "shift_jisx", "constructor"]) {
      await web.sameAsNode(`try { new TextDecoder(given) } catch (error) { return error.constructor.name }`, label);
    }
    expect(web.evaluate(`try { new TextDecoder("shift_jis") } catch (error) { error.constructor.name }`)).toBe(
      "RangeError",
    );
  });

  it("reads buffers and views of any kind, of their own part only", async () => {
    for (const source of [
      "new Uint8Array([65, 66, 67]).buffer",
      "new Uint8Array([65, 66, 67]).subarray(1, 2)",
      "new DataView(new Uint8Array([65, 66, 67]).buffer, 1)",
      "new Uint16Array([0x4241])",
      "undefined",
      "null",
      "'text'",
      "[65]",
    ]) {
      await web.sameAsNode(`return new TextDecoder().decode(${source})`);
    }
  });

  it("says what it was made as", async () => {
    await web.sameAsNode(
      `const { encoding, fatal, ignoreBOM } = new TextDecoder("UTF-8", { fatal: 1, ignoreBOM: "x" });
       return [encoding, fatal, ignoreBOM, Object.prototype.toString.call(new TextDecoder())]`,
    );
  });

  it("reads texts of many kilobytes", async () => {
    await web.sameAsNode(
      `const text = "Zeile mit Umlauten äöü € 😀\\n".repeat(5000) + "a".repeat(100000);
       return new TextDecoder().decode(new TextEncoder().encode(text)) === text`,
    );
  });
});
