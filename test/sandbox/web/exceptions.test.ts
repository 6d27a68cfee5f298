import { beforeAll, describe, it } from "vitest";
import { bare } from "./bare.ts";
import type { Bare } from "./bare.ts";

let web: Bare;
beforeAll(async () => {
  web = await bare(["exceptions"]);
});

describe("DOMException", () => {
  it("has the code that belongs to its name", async () => {
    for (const name of [
      "IndexSizeError",
      "InvalidCharacterError",
      "NotSupportedError",
      "SyntaxError",
      "QuotaExceededError",
      "TimeoutError",
      "AbortError",
      "DataCloneError",
      "OperationError",
      "",
      "Error",
    ]) {
      await web.sameAsNode(
        `const { name, message, code } = new DOMException("what", given); return [name, message, code]`,
        name,
      );
    }
  });

  it("has all constants, on itself and on its prototype", async () => {
    await web.sameAsNode(
      `return [DOMException, DOMException.prototype].map((on) =>
         Object.keys(on).filter((key) => /_ERR$/.test(key)).sort().map((key) => key + on[key]))`,
    );
  });

  it("is an Error with a stack, a cause, and a name of its own", async () => {
    await web.sameAsNode(
      `const error = new DOMException("what", { name: "AbortError", cause: 7 });
       return [error instanceof Error, typeof error.stack, error.name, error.cause, String(error), DOMException.name,
         Object.prototype.toString.call(error), Object.keys(error).join()]`,
    );
    await web.sameAsNode(`const { name, message, code } = new DOMException(); return [name, message, code]`);
  });
});
