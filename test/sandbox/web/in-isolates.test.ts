/** The web's globals where they are for: in a handler's isolate, when its bundle speaks of them, and not otherwise. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bundle, loadAll, openSandbox, run, runOn, shortly, task } from "../opened.ts";
import type { Opened } from "../opened.ts";

let opened: Opened;
beforeAll(async () => (opened = await openSandbox()));
afterAll(() => opened.sandbox.close());

const patience = { settings: { timeoutMs: 5000 } };
const valueOf = async (body: string): Promise<unknown> => {
  const [outputs] = shortly(await runOn(opened.sandbox, body, ["{}"], patience));
  return Array.isArray(outputs) ? JSON.parse(String(outputs[0])) : outputs;
};

describe("a handler", () => {
  it.each([
    ["new URL('../x?a=1#b', 'https://example.com/a/b/c').href", "https://example.com/a/x?a=1#b"],
    ["[...new TextEncoder().encode('é')].join()", "195,169"],
    ["new TextDecoder().decode(new Uint8Array([226, 130, 172]))", "€"],
    ["atob(btoa('hello'))", "hello"],
    ["structuredClone(new Map([[1, { a: [1] }]])).get(1)", { a: [1] }],
    ["new Headers({ 'X-A': '1' }).get('x-a')", "1"],
    ["new DOMException('m', 'AbortError').code", 20],
    ["(() => { const c = new AbortController(); c.abort(); return c.signal.aborted })()", true],
    ["new Request('https://example.com/', { method: 'post' }).method", "POST"],
    ["typeof globalThis['URL']", "function"],
  ])("can say %s", async (expression, value) => {
    expect(await valueOf(`return { value: ${expression} }`)).toEqual({ value });
  });

  it("can wait for what they promise", async () => {
    const hex = "[...new Uint8Array(hash)].map((b) => b.toString(16).padStart(2, '0')).join('')";
    const body = `return (async () => { const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode("abc")); return { hex: ${hex} } })()`;
    expect(await valueOf(body)).toEqual({ hex: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" });
    expect(await valueOf("return (async () => await Response.json({ a: 1 }).json())()")).toEqual({ a: 1 });
  });

  it("draws other random values for each event, and in each isolate", async () => {
    const handlers = [bundle("return crypto.randomUUID()", patience), bundle("return crypto.randomUUID()", patience)];
    await loadAll(opened.sandbox, ...handlers);
    const drawn: unknown[] = [];
    for (const { id } of handlers) {
      for (const seq of [1, 2, 1]) drawn.push(shortly((await run(opened.sandbox, id, [task(id, { seq })])).results)[0]);
    }
    expect(new Set(drawn.map(String)).size).toBe(6);
    for (const each of drawn) expect(String(each)).toMatch(/^"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab]/);
  });

  it("that does not speak of one does not have it", async () => {
    const names = ["URL", "TextEncoder", "crypto"].map((name) => JSON.stringify(name.split("")));
    const body = `return [${names.map((name) => `typeof globalThis[${name}.join("")]`).join()}].join()`;
    expect(await valueOf(body)).toBe("undefined,undefined,undefined");
  });
});
