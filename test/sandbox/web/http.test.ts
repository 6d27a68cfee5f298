import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { bare } from "./bare.ts";
import type { Bare } from "./bare.ts";

let web: Bare;
beforeAll(async () => {
  web = await bare(["http", "request"]);
});

const HEADERS = [
  `undefined`,
  `{ "Content-Type": "a", "x-B": "  b\\t" }`,
  `[["a", "1"], ["A", "2"], ["set-cookie", "x"], ["Set-Cookie", "y"]]`,
  `new Headers({ a: 1 })`,
  `new Map([["a", "b"]])`,
  `{ a: undefined, b: null, c: 5 }`,
  `null`,
  `"text"`,
  `5`,
  `[["a"]]`,
  `["ab"]`,
  `[["a", "b", "c"]]`,
  `{ "a b": "c" }`,
  `{ "": "c" }`,
  `{ "ü": "c" }`,
  `{ a: "b\\nc" }`,
  `{ a: "b\\0c" }`,
  `{ a: "ü" }`,
  `{ a: "€" }`,
  `{ [Symbol("a")]: 1 }`,
  `{ a: Symbol() }`,
];

describe("Headers", () => {
  it.each(HEADERS)("of %s are what Node makes of it", async (source) => {
    await web.sameAsNode(
      `const headers = new Headers(${source});
       return [[...headers], [...headers.keys()], [...headers.values()], [...headers.entries()], headers.getSetCookie()]`,
    );
  });

  it("are changed in any order as Node's are", async () => {
    const name = fc.constantFrom("a", "A", "b", "Set-Cookie", "set-cookie", "bad name", "");
    const value = fc.constantFrom("1", " 2 ", "", "x, y", "bad\n");
    const change = fc.oneof(
      fc.tuple(fc.constantFrom("append", "set"), name, value),
      fc.tuple(fc.constantFrom("delete", "get", "has"), name),
      fc.tuple(fc.constantFrom("getSetCookie")),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(change, { maxLength: 8 }), (changes) =>
        web.sameAsNode(
          `const headers = new Headers(); const log = [];
           for (const [method, ...args] of given) {
             try { log.push(headers[method](...args)); } catch (error) { log.push(error.constructor.name); }
           }
           return [log, [...headers]]`,
          changes,
        ),
      ),
      { numRuns: 1000 },
    );
  });

  it("are walked through while they change, as Node's are", async () => {
    await web.sameAsNode(
      `const headers = new Headers({ b: 1, d: 2 }); const log = [];
       for (const [name] of headers) { log.push(name); if (log.length < 5) headers.append("c" + log.length, "x"); }
       headers.forEach(function (value, name, all) { log.push(value, name, all === headers, this.own); }, { own: 1 });
       return log`,
    );
    await web.sameAsNode(`new Headers().forEach(5)`);
    await web.sameAsNode(`new Headers().append("a")`);
    await web.sameAsNode(`return [Headers.name, Object.prototype.toString.call(new Headers())]`);
  });
});

/** What can be seen of a response, its text last. */
const SEEN = `const seen = async (response) => [response.status, response.ok, response.statusText, response.type, response.url,
  response.redirected, [...response.headers], response.body === null || "body", response.bodyUsed, await response.text(), response.bodyUsed];`;

const RESPONSES = [
  `new Response()`,
  `new Response(null, { status: 204 })`,
  `new Response(undefined, { status: 404, statusText: "Not there" })`,
  `Response.error()`,
  `new Response(null, { status: 199 })`,
  `new Response(null, { status: 600 })`,
  `new Response(null, { status: "201" })`,
  `new Response(null, { status: 65736 })`,
  `new Response("a", { status: 204 })`,
  `new Response("a", { status: 304 })`,
  `new Response(null, { statusText: "a\\n" })`,
  `new Response(null, { statusText: "€" })`,
  `new Response(null, 5)`,
  `Response.json(undefined)`,
  `Response.json(() => 1)`,
  `Response.json()`,
  `Response.json({ a: 1 }, { status: 204 })`,
];

/** With a content, which is a stream elsewhere. */
const CONTENTS = [
  `"text ü"`,
  `""`,
  `5`,
  `{ toString: () => "own" }`,
  `new Uint8Array([65, 195, 188, 255])`,
  `new Uint8Array([65, 66]).buffer`,
  `new Uint8Array([65, 66]).subarray(1)`,
  `new DataView(new ArrayBuffer(2))`,
  `new Uint8Array([0xef, 0xbb, 0xbf, 65])`,
  `new URLSearchParams({ a: "ü &" })`,
];

describe("Response", () => {
  it.each(RESPONSES)("%s is what Node makes of it", async (source) => {
    await web.sameAsNode(`${SEEN} return seen(${source})`);
  });

  it.each(CONTENTS)("of %s is what Node makes of it", async (source) => {
    await web.sameAsNode(
      `const response = () => new Response(${source}, { status: 201, headers: { a: "b" } });
       const used = response(); await used.text();
       let again; try { await used.text() } catch (error) { again = error.constructor.name }
       let cloned; try { used.clone() } catch (error) { cloned = error.constructor.name }
       const copy = response().clone();
       return [await response().text(), await response().arrayBuffer(), await response().bytes(), [...response().headers],
         used.bodyUsed, again, cloned, await copy.text(), copy.status, [...copy.headers]]`,
    );
  });

  it("reads JSON as Node does", async () => {
    for (const text of ['{"a":[1,"ü"]}', "", "{", "null", "\ufeff1"]) {
      await web.sameAsNode(`return new Response(given).json()`, text);
    }
    await web.sameAsNode(
      `const made = Response.json({ a: 1 }, { status: 201, headers: { b: "c" } });
       return [made.status, [...made.headers], await made.json(),
         [...Response.json(1, { headers: { "content-type": "own" } }).headers]]`,
    );
  });

  it("keeps a content type that it is given", async () => {
    await web.sameAsNode(`return [...new Response("a", { headers: { "Content-Type": "own" } }).headers]`);
  });

  it("has no content to use up when it has none", async () => {
    await web.sameAsNode(
      `const response = new Response(); const texts = [await response.text(), await response.text()];
       return [texts, response.bodyUsed, (await response.arrayBuffer()).byteLength]`,
    );
  });

  it("copies buffers, so that later changes change nothing", async () => {
    await web.sameAsNode(
      `const bytes = new Uint8Array([65]); const response = new Response(bytes); const copy = response.clone();
       bytes[0] = 66; (await response.bytes())[0] = 67;
       return copy.text()`,
    );
  });

  it("of an error has headers that do not change", async () => {
    await web.sameAsNode(`Response.error().headers.set("a", "b")`);
    await web.sameAsNode(`return [Response.name, Object.prototype.toString.call(new Response())]`);
  });
});

const REQUESTS = [
  `"https://h/a?b#c"`,
  `new URL("https://h/")`,
  `"https://h/", { method: "post", body: "text" }`,
  `"https://h/", { method: "query", body: new Uint8Array([65]) }`,
  `"https://h/", { method: "PUT", body: new URLSearchParams("a=b"), headers: { a: "b" } }`,
  `"https://h/", { method: "DELETE", headers: { "content-type": "own" }, body: "a" }`,
  `"https://h/", { redirect: "manual", cache: "no-store", credentials: "omit", mode: "cors", referrerPolicy: "origin" }`,
  `"https://h/", { integrity: "sha256-a", keepalive: 1 }`,
  `"https://h/", { body: "a" }`,
  `"https://h/", { method: "HEAD", body: "" }`,
  `"https://h/", { method: "TRACE" }`,
  `"https://h/", { method: "a b" }`,
  `"https://h/", { method: "" }`,
  `"https://h/", { redirect: "nonsense" }`,
  `"https://h/", { cache: "nonsense" }`,
  `"https://h/", { mode: "navigate" }`,
  `"https://h/", { signal: {} }`,
  `"https://h/", { signal: null }`,
  `"https://h/", 5`,
  `"https://h/", null`,
  `"https://user:secret@h/"`,
  `"/relative"`,
  `""`,
  ``,
  `new Request("https://h/", { method: "POST", body: "a", headers: { a: "b" } })`,
  `new Request("https://h/", { method: "POST", body: "a" }), { method: "PUT", headers: { c: "d" } }`,
  `new Request("https://h/", { method: "POST", body: "a" }), { body: "b" }`,
  `new Request("https://h/", { method: "POST", body: "a" }), { method: "GET" }`,
];

describe("Request", () => {
  it.each(REQUESTS)("of %s is what Node makes of it", async (source) => {
    await web.sameAsNode(
      `const request = new Request(${source});
       const { url, method, cache, credentials, mode, redirect, referrer, referrerPolicy, integrity, keepalive, destination } = request;
       return [url, method, cache, credentials, mode, redirect, referrer, referrerPolicy, integrity, keepalive, destination,
         [...request.headers], request.signal instanceof AbortSignal, request.signal.aborted, await request.clone().text(),
         await request.text()]`,
    );
  });

  it("uses the content of the request up that it is made of", async () => {
    await web.sameAsNode(
      `const first = new Request("https://h/", { method: "POST", body: "a" });
       const second = new Request(first); let again;
       try { new Request(first) } catch (error) { again = error.constructor.name }
       const log = [first.bodyUsed, second.bodyUsed, again, await second.text()];
       try { second.clone() } catch (error) { log.push(error.constructor.name) }
       return log`,
    );
  });

  it("may have another content although the request's that it is made of is used up", async () => {
    await web.sameAsNode(
      `const first = new Request("https://h/", { method: "POST", body: "a" }); await first.text();
       return new Request(first, { body: "b" }).text()`,
    );
  });

  it("aborts with its signal, and so do those made of it", async () => {
    await web.sameAsNode(
      `const controller = new AbortController(); const request = new Request("https://h/", { signal: controller.signal });
       const made = new Request(request), copy = request.clone(), own = new Request(request, { signal: null });
       controller.abort("why");
       return [request, made, copy, own].map(({ signal }) => [signal.aborted, signal.reason]).concat([request.signal === controller.signal])`,
    );
  });

  it("has a name and a kind", async () => {
    await web.sameAsNode(`return [Request.name, Object.prototype.toString.call(new Request("https://h/"))]`);
  });
});

describe("what is not there", () => {
  it("a body as a stream is null", async () => {
    expect(web.evaluate(`new Response("a").body`)).toBe(null);
  });

  it("Request and Response have no blob() and no formData()", () => {
    expect(web.evaluate(`["blob", "formData"].some((name) => name in new Response("a"))`)).toBe(false);
  });
});
