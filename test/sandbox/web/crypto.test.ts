import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { bare } from "./bare.ts";
import type { Bare } from "./bare.ts";

let web: Bare;
beforeAll(async () => {
  web = await bare(["crypto"]);
});

const HASHES = ["SHA-1", "SHA-256", "SHA-384", "SHA-512"];
const bytes = fc.array(fc.integer({ min: 0, max: 255 }), { maxLength: 300 });

describe("crypto", () => {
  it("fills arrays of integers of every kind, and only their own part of a buffer", () => {
    for (const kind of [
      "Int8",
      "Uint8",
      "Uint8Clamped",
      "Int16",
      "Uint16",
      "Int32",
      "Uint32",
      "BigInt64",
      "BigUint64",
    ]) {
      expect(
        web.evaluate(`{
          const buffer = new ArrayBuffer(512), into = new ${kind}Array(buffer, 64, 16);
          const same = crypto.getRandomValues(into) === into;
          const all = new Uint8Array(buffer), end = 64 + into.byteLength;
          [same, all.subarray(64, end).some((byte) => byte !== 0), all.subarray(0, 64).some(Boolean),
            all.subarray(end).some(Boolean)].join() }`),
      ).toBe("true,true,false,false");
    }
  });

  it("refuses what Node refuses to fill", async () => {
    for (const into of ["new Float32Array(1)", "new DataView(new ArrayBuffer(1))", "new ArrayBuffer(1)", "[]", ""]) {
      await web.sameAsNode(
        `try { crypto.getRandomValues(${into}) } catch (error) { return [error instanceof Error, typeof error.name] }`,
      );
    }
    await web.sameAsNode(`crypto.getRandomValues(new Float64Array(2))`);
    await web.sameAsNode(`try { crypto.getRandomValues(new Uint8Array(65537)) } catch (error) { return error.name }`);
    await web.sameAsNode(`return crypto.getRandomValues(new Uint8Array(65536)).length`);
  });

  it("makes UUIDs of version 4, each another", () => {
    const made = web.evaluate(`Array.from({ length: 200 }, () => crypto.randomUUID()).join()`) as string;
    const uuids = made.split(",");
    expect(new Set(uuids).size).toBe(200);
    for (const uuid of uuids)
      expect(uuid).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  });

  it("is made by nobody else", async () => {
    for (const made of ["new Crypto()", "new SubtleCrypto()", "new CryptoKey()"]) {
      await web.sameAsNode(`try { ${made} } catch (error) { return error.constructor === TypeError }`);
    }
    await web.sameAsNode(
      `return [crypto, crypto.subtle].map((each) => Object.prototype.toString.call(each)).concat(crypto.subtle === crypto.subtle)`,
    );
  });
});

describe("crypto.subtle.digest()", () => {
  it("is Node's of any bytes", async () => {
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...HASHES), bytes, (name, data) =>
        web.sameAsNode(`return crypto.subtle.digest(given.name, new Uint8Array(given.data))`, { name, data }),
      ),
      { numRuns: 300 },
    );
  });

  it("takes algorithms and data as Node does", async () => {
    const data = "new Uint8Array([1, 2, 3])";
    for (const [algorithm, given] of [
      ["'sha-256'", data],
      ["{ name: 'Sha-512' }", data],
      ["'SHA-1'", `${data}.subarray(1)`],
      ["'SHA-1'", `${data}.buffer`],
      ["'SHA-1'", "new DataView(new ArrayBuffer(3), 1)"],
      ["'SHA-1'", "new Uint16Array([258])"],
      ["'MD5'", data],
      ["'SHA256'", data],
      ["{}", data],
      ["'constructor'", data],
      ["'SHA-1'", "'text'"],
      ["'SHA-1'", "[1]"],
    ] as const) {
      await web.sameAsNode(`return crypto.subtle.digest(${algorithm}, ${given})`);
    }
  });
});

/** Signs and verifies, and says what the key is. */
const HMAC = `
  const { subtle } = crypto;
  const key = await subtle.importKey("raw", new Uint8Array(given.secret), { name: "HMAC", hash: given.hash }, true, ["verify", "sign"]);
  const data = new Uint8Array(given.data);
  const signature = await subtle.sign("HMAC", key, data);
  const wrong = signature.slice(); new Uint8Array(wrong)[given.at % wrong.byteLength] ^= 1;
  return [signature, await subtle.verify({ name: "hmac" }, key, signature, data), await subtle.verify("HMAC", key, wrong, data),
    await subtle.verify("HMAC", key, signature.slice(1), data), key.type, key.extractable, key.usages,
    key.algorithm.name, key.algorithm.length, key.algorithm.hash.name, Object.prototype.toString.call(key)]`;

describe("HMAC", () => {
  it("signs and verifies as Node does", async () => {
    const secret = fc.array(fc.integer({ min: 0, max: 255 }), { minLength: 1, maxLength: 200 });
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...HASHES), secret, bytes, fc.nat(63), (hash, secret, data, at) =>
        web.sameAsNode(HMAC, { hash, secret, data, at }),
      ),
      { numRuns: 150 },
    );
  });

  it("changes nothing when the bytes of the key are changed later", async () => {
    await web.sameAsNode(
      `const secret = new Uint8Array([1, 2, 3]);
       const imported = crypto.subtle.importKey("raw", secret, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
       secret.fill(9);
       return crypto.subtle.sign("HMAC", await imported, new Uint8Array(2))`,
    );
  });

  it.each([
    `"raw", secret, { name: "HMAC", hash: { name: "sha-1" } }, 0, ["sign"]`,
    `"raw", secret, { name: "HMAC", hash: "SHA-256", length: 20 }, true, ["sign", "sign"]`,
    `"raw", secret, { name: "HMAC", hash: "SHA-256", length: 24 }, true, ["sign"]`,
    `"raw", secret, { name: "HMAC", hash: "SHA-256", length: 25 }, true, ["sign"]`,
    `"raw", secret, { name: "HMAC", hash: "SHA-256", length: 16 }, true, ["sign"]`,
    `"raw", secret, { name: "HMAC", hash: "SHA-256" }, true, []`,
    `"raw", secret, { name: "HMAC", hash: "SHA-256" }, true, ["encrypt"]`,
    `"raw", secret, { name: "HMAC", hash: "SHA-256" }, true, ["nonsense"]`,
    `"raw", secret, { name: "HMAC" }, true, ["sign"]`,
    `"raw", secret, { name: "HMAC", hash: "MD5" }, true, ["sign"]`,
    `"raw", new Uint8Array(), { name: "HMAC", hash: "SHA-256" }, true, ["sign"]`,
    `"raw", "text", { name: "HMAC", hash: "SHA-256" }, true, ["sign"]`,
    `"raw", secret, { name: "NONE" }, true, ["sign"]`,
  ])("a key of %s is taken or refused as Node does", async (source) => {
    await web.sameAsNode(
      `const secret = new Uint8Array([255, 255, 255]);
       const key = await crypto.subtle.importKey(${source});
       return [key.extractable, key.usages, key.algorithm.length, key.algorithm.hash.name,
         await crypto.subtle.sign("HMAC", key, new Uint8Array(1))]`,
    );
  });

  it.each([
    `crypto.subtle.sign("HMAC", forVerifying, data)`,
    `crypto.subtle.verify("HMAC", forSigning, data, data)`,
    `crypto.subtle.sign("SHA-256", forSigning, data)`,
    `crypto.subtle.sign("HMAC", {}, data)`,
    `crypto.subtle.sign("HMAC", forSigning, "text")`,
  ])("%s fails as Node's does", async (source) => {
    await web.sameAsNode(
      `const data = new Uint8Array(2), algorithm = { name: "HMAC", hash: "SHA-256" };
       const forSigning = await crypto.subtle.importKey("raw", data, algorithm, false, ["sign"]);
       const forVerifying = await crypto.subtle.importKey("raw", data, algorithm, false, ["verify"]);
       return ${source}`,
    );
  });
});

describe("the rest of crypto.subtle", () => {
  it("is there, and rejects with a NotSupportedError", async () => {
    for (const name of [
      "encrypt",
      "decrypt",
      "generateKey",
      "exportKey",
      "deriveKey",
      "deriveBits",
      "wrapKey",
      "unwrapKey",
    ]) {
      const thrown = web.evaluate(
        `crypto.subtle.${name}().catch((error) => [error instanceof DOMException, error.name].join())`,
      );
      expect(await (thrown as Promise<string>)).toBe("true,NotSupportedError");
    }
  });
});
