import { readFileSync } from "node:fs";
import { runInNewContext } from "node:vm";
import { describe, expect, it } from "vitest";
import { WEB_APIS, webApisOf } from "../../../src/sandbox/api/web.ts";
import { buildPrograms } from "../../../src/sandbox/programs.ts";
import { bare } from "./bare.ts";

describe("webApisOf()", () => {
  it("finds nothing in a bundle that speaks of nothing", () => {
    expect(webApisOf(`export default (event) => event.data`)).toEqual([]);
    expect(webApisOf("")).toEqual([]);
  });

  it("finds a global wherever it is mentioned as a word", () => {
    expect(webApisOf(`new TextEncoder()`)).toEqual(["encoding"]);
    expect(webApisOf(`globalThis["atob"]`)).toEqual(["exceptions", "base64"]);
    expect(webApisOf(`// crypto\n`)).toEqual(["exceptions", "crypto"]);
  });

  it("does not find it inside other words", () => {
    expect(webApisOf(`const baseURL = myEvent.TextEncoders, _atob = cryptography`)).toEqual([]);
  });

  it("adds what is needed, all the way down, in an order in which it can be installed", () => {
    expect(webApisOf(`new Request(x)`)).toEqual(["exceptions", "base64", "events", "url", "http", "request"]);
    for (const [at, { needs }] of WEB_APIS.entries()) {
      for (const need of needs) expect(WEB_APIS.findIndex(({ name }) => name === need)).toBeLessThan(at);
    }
  });

  it("every global belongs to one capability", () => {
    const globals = WEB_APIS.flatMap((api) => api.globals);
    expect(new Set(globals).size).toBe(globals.length);
  });
});

describe("the text of a capability", () => {
  it.each(WEB_APIS)("$name makes its globals and no others, each like a built-in", async ({ name, globals }) => {
    const web = await bare([name]);
    const before = runInNewContext(`Object.getOwnPropertyNames(globalThis)`) as string[];
    const after = web.evaluate(`Object.getOwnPropertyNames(globalThis)`) as string[];
    const installed = WEB_APIS.filter((api) => webApisOf(globals.join(" ")).includes(api.name));
    const wanted = installed.flatMap((api) => api.globals);
    expect(after.filter((each) => !before.includes(each)).sort()).toEqual([...wanted].sort());
    expect(web.evaluate(`Object.keys(globalThis).length`)).toBe(0);
  });

  it("is built once, and a capability that does not exist is a fault", async () => {
    const { webCode } = await buildPrograms();
    expect(webCode("base64")).toBe(webCode("base64"));
    await expect(webCode("nonsense")).rejects.toMatchObject({ code: "SANDBOX_UNAVAILABLE" });
  });

  it("leaves the built-ins as they were", async () => {
    const shown = `JSON.stringify(Object.getOwnPropertyNames(globalThis).filter((name) => typeof globalThis[name] === "function")
      .sort().map((name) => [name, Object.getOwnPropertyNames(globalThis[name]).length,
        Object.getOwnPropertyNames(globalThis[name].prototype ?? {}).length]))`;
    const before = new Map(
      (JSON.parse((await bare([])).evaluate(shown) as string) as [string, number, number][]).map((each) => [
        each[0],
        each,
      ]),
    );
    const after = JSON.parse((await bare()).evaluate(shown) as string) as [string, number, number][];
    expect(after.filter(([name]) => before.has(name))).toEqual([...before.values()]);
  });
});

describe("docs/guest-api.md", () => {
  it("says of every global whether it is there", () => {
    const rows = readFileSync(new URL("../../../docs/guest-api.md", import.meta.url), "utf8")
      .split("\n")
      .filter((line) => /^\|.*\| +(?:there|in part) +\|/.test(line))
      .map((line) => line.split("|")[1] ?? "")
      .join(" ");
    expect(WEB_APIS.flatMap((api) => api.globals).filter((name) => !rows.includes(`\`${name}`))).toEqual([]);
  });
});
