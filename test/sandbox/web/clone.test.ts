import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { bare } from "./bare.ts";
import type { Bare } from "./bare.ts";

let web: Bare;
beforeAll(async () => {
  web = await bare(["clone"]);
});

/** Sources of expressions that are cloned. */
const CLONED = [
  "undefined",
  "null",
  "-0",
  "12n",
  "NaN",
  "'text'",
  "new Date(5)",
  "new Date(NaN)",
  "/a\\/b/giu",
  "(() => { const r = /a/g; r.lastIndex = 3; return r; })()",
  "Object(1)",
  "Object(-0)",
  "Object('ab')",
  "Object(false)",
  "Object(7n)",
  "[1, , 3]",
  "Object.assign([1, 2], { extra: 3 })",
  "new Array(5)",
  "(() => { const a = []; a[70000] = 1; return a; })()",
  "{ b: 1, a: 2, 1: 3 }",
  "Object.create({ inherited: 1 })",
  "Object.create(null, { x: { value: 1, enumerable: true } })",
  "Object.defineProperty({}, 'hidden', { value: 1 })",
  "{ get computed() { return 5; } }",
  'JSON.parse(\'{"__proto__": { "a": 1 }}\')',
  "{ [Symbol('s')]: 1 }",
  "new (class Point { constructor() { this.x = 1; } get y() { return 2; } })()",
  "new Map([[1, { a: 1 }], [{ k: 1 }, new Map()]])",
  "new Set([1, 'a', {}, new Set()])",
  "Object.assign(new Map([[1, 2]]), { extra: 1 })",
  "new (class Sub extends Map {})([[1, 2]])",
  "new (class Sub extends Array {})(1, 2)",
  "new (class Sub extends Date {})(7)",
  "Object.setPrototypeOf(new Map([[1, 2]]), Array.prototype)",
  "Object.assign(Object.create(Map.prototype), { notAMap: 1 })",
  "{ [Symbol.toStringTag]: 'Map', a: 1 }",
  "new ArrayBuffer(4)",
  "new Uint8Array([1, 2, 3]).buffer",
  "new Uint8Array([1, 2, 3]).subarray(1)",
  "new Float64Array([1.5, NaN])",
  "new BigInt64Array([5n])",
  "new Uint8ClampedArray([300])",
  "new DataView(new ArrayBuffer(8), 2, 4)",
  "(() => { const b = new ArrayBuffer(8); return [new Uint8Array(b), new Uint16Array(b, 2), b]; })()",
  "new ArrayBuffer(2, { maxByteLength: 9 })",
  "(() => { const b = new ArrayBuffer(2, { maxByteLength: 9 }); return new Uint8Array(b, 0, 1); })()",
  "new Error('a')",
  "new TypeError('a', { cause: { b: 1 } })",
  "new RangeError()",
  "Object.assign(new Error('a'), { code: 7 })",
  "Object.assign(new Error('a'), { name: 'TypeError' })",
  "Object.assign(new Error('a'), { name: 'Other' })",
  "Object.assign(new Error('a'), { message: 5 })",
  "new (class Mine extends RangeError {})('a')",
  "new AggregateError([1], 'all')",
  "new DOMException('what', 'AbortError')",
  "globalThis.Math && { math: 1 }",
];

const REFUSED = [
  "() => 1",
  "class {}",
  "Symbol('a')",
  "Object(Symbol('a'))",
  "Promise.resolve()",
  "new WeakMap()",
  "(function () { return arguments; })(1, 2)",
  "new WeakSet()",
  "new WeakRef({})",
  "(function* () {})()",
  "(async function* () {})()",
  "[][Symbol.iterator]()",
  "new Map().keys()",
  "new Proxy(() => 1, {})",
  "{ deep: [new Map([[1, { f() {} }]])] }",
  "{ get broken() { throw new RangeError('mine'); } }",
];

describe("structuredClone()", () => {
  it.each(CLONED)("makes of %s what Node makes of it", async (source) => {
    await web.sameAsNode(`return structuredClone((${source}))`);
  });

  it.each(REFUSED)("refuses %s as Node does", async (source) => {
    await web.sameAsNode(`return structuredClone((${source}))`);
  });

  it("keeps identities and cycles", async () => {
    await web.sameAsNode(
      `const a = { list: [] }; a.self = a; a.list.push(a.list, a);
       a.map = new Map([[a, a.list]]); a.set = new Set([a]);
       a.error = new Error("x", { cause: a });
       const b = structuredClone(a);
       return [b, b !== a, b.self === b, b.list[0] === b.list, b.map.get(b) === b.list, b.error.cause === b]`,
    );
  });

  it("makes of any value what Node makes of it", async () => {
    await fc.assert(
      fc.asyncProperty(fc.jsonValue(), (value) => web.sameAsNode(`return structuredClone(given)`, value)),
      { numRuns: 300 },
    );
  });

  it("keeps the stack of an error, where it is not listed", async () => {
    await web.sameAsNode(
      `const error = new TypeError("a"); const copy = structuredClone(error);
       return [copy.stack === error.stack, Object.keys(copy), Object.hasOwn(copy, "message"), copy instanceof TypeError]`,
    );
  });

  it("sees what getters change on the way", async () => {
    await web.sameAsNode(
      `return structuredClone({ get a() { delete this.b; return 1; }, b: 2, get c() { this.d = 4; return 3; } })`,
    );
  });
});

describe("structuredClone() with `transfer`", () => {
  it.each([
    "const b = new Uint8Array([1, 2]).buffer; return [structuredClone(b, { transfer: [b] }), b.detached, b.byteLength]",
    "const v = new Uint8Array([1, 2]); const c = structuredClone({ v }, { transfer: [v.buffer] }); return [c, v.length]",
    "const b = new ArrayBuffer(1, { maxByteLength: 4 }); return [structuredClone([b], { transfer: [b] }), b.detached]",
    "const b = new ArrayBuffer(1); return [structuredClone(1, { transfer: [b] }), b.detached]",
    "const b = new ArrayBuffer(1); return structuredClone(1, { transfer: [b, b] })",
    "const b = new ArrayBuffer(1); b.transfer(); return structuredClone(1, { transfer: [b] })",
    "const b = new ArrayBuffer(1); b.transfer(); return structuredClone(b)",
    "const b = new ArrayBuffer(1); try { structuredClone(() => 1, { transfer: [b] }) } catch {} return b.detached",
    "return structuredClone(1, { transfer: [] })",
    "return structuredClone(1, null)",
    "return structuredClone(1, undefined)",
    "return structuredClone()",
    "return structuredClone.name",
  ])("%s", async (body) => {
    await web.sameAsNode(body);
  });

  it("throws a DataCloneError at what cannot be transferred", () => {
    for (const each of ["{}", "1", "new Uint8Array(1)"]) {
      expect(web.evaluate(`try { structuredClone(1, { transfer: [${each}] }) } catch (error) { error.name }`)).toBe(
        "DataCloneError",
      );
    }
  });
});
