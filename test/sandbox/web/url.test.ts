import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { bare } from "./bare.ts";
import type { Bare } from "./bare.ts";

let web: Bare;
beforeAll(async () => {
  web = await bare(["url"]);
});

const PARTS = `["href", "origin", "protocol", "username", "password", "host", "hostname", "port", "pathname", "search", "hash"]`;
const ALL_PARTS = `const url = new URL(given[0], given[1]); return [...${PARTS}.map((part) => url[part]), String(url), JSON.stringify(url)]`;

/** An address and, where it has one, what it is relative to. */
const ADDRESSES: readonly (readonly [string, string?])[] = [
  ["https://example.com"],
  ["HTTPS://User:Pa%20ss@EXAMPLE.com:443/a/../b/./c?q=1#frag"],
  ["http://example.com:8080/%7Efoo/%zz?a b#c d"],
  ["  https://example.com/\t\n x  "],
  ["https:example.com"],
  ["https:/\\example.com\\a\\b"],
  ["//other/path", "https://example.com/a/b"],
  ["../c?x", "https://example.com/a/b/d?y#z"],
  ["?only", "https://example.com/a?b#c"],
  ["#only", "https://example.com/a?b#c"],
  ["", "https://example.com/a?b#c"],
  ["mqtt://broker:1883/topic/+"],
  ["mqtts://broker"],
  ["coap://[2001:db8::1]:5683/sensors"],
  ["http://[::1]:80/"],
  ["http://[1:2:0:0:5:0:0:0]/"],
  ["http://[::127.0.0.1]/"],
  ["http://[::1"],
  ["http://[g::1]/"],
  ["http://0x7f.1/"],
  ["http://017700000001/"],
  ["http://256.256.256.256/"],
  ["http://1.2.3.4.5/"],
  ["http://4294967295/"],
  ["http://4294967296/"],
  ["http://bücher.example/ä?ö#ü"],
  ["http://xn--bcher-kva.example/"],
  ["http://faß.example/"],
  ["http://ＧＯ.example/"],
  ["http://☃.net/"],
  ["http://xn--/"],
  ["http://a b/"],
  ["http://a%20b/"],
  ["http://a%41b/"],
  ["http://ex%2fample/"],
  ["http://exa<mple/"],
  ["http:///"],
  ["http://:80/"],
  ["http://host:65535/"],
  ["http://host:65536/"],
  ["http://host:8a/"],
  ["http://user@/"],
  ["http://@host/"],
  ["http://a:b:c@host/"],
  ["http://a@b@host/"],
  ["file:///C:/x/../y"],
  ["file://host/C|/x"],
  ["C|/x", "file:///D:/y/z"],
  ["file:x", "file:///a/b"],
  ["mailto:a@b.example"],
  ["mailto:a b"],
  ["data:text/plain,x y  "],
  ["urn:a:b?c#d"],
  ["x", "urn:a:b"],
  ["#x", "urn:a:b"],
  ["blob:https://example.com:443/uuid"],
  ["javascript:alert(1)"],
  ["nothing"],
  [""],
  ["1http://x"],
  ["a/b", "nothing"],
  ["web+x:/..//a"],
  ["web+x://a/../b/%2e%2E/c"],
  ["https://example.com/a/%2e/b/.%2e/c"],
  ["https://example.com/'\"<>`{}|^?'\"<>`{}|^#'\"<>`{}|^"],
  ["https://example.com/\ud800?\ud800#\ud800"],
  ["https://ex\u00adample.com/"],
  ["https://例え.テスト/"],
  ["https://مثال.إختبار/"],
];

describe("URL", () => {
  it.each(ADDRESSES)("%j relative to %j is what Node makes of it", async (...given) => {
    await web.sameAsNode(ALL_PARTS, given.length === 1 ? [given[0]] : given);
    await web.sameAsNode(`return [URL.canParse(...given), URL.parse(...given)?.href]`, given);
  });

  it("is what Node makes of pieces put together in any order", async () => {
    const piece = fc.constantFrom(
      ..."http: https: mqtt: file: // / \\ ? # : @ . .. %2e %zz % a B 0 80 443 [ ] ::1 0x7f 1.2 ü ß é ☃ & = +".split(
        " ",
      ),
      " ",
      "|",
      "C:",
      "\t",
      "'",
      "^",
    );
    const address = fc.array(piece, { maxLength: 9 }).map((pieces) => pieces.join(""));
    const relativeTo = fc.constantFrom("http://user@host:81/a/b?c#d", "file:///C:/a", "mqtt://x/y", "urn:z");
    await fc.assert(
      fc.asyncProperty(address, fc.option(relativeTo), (each, other) =>
        web.sameAsNode(ALL_PARTS, other === null ? [each] : [each, other]),
      ),
      { numRuns: 1000 },
    );
  });

  it("changes part by part as Node does", async () => {
    const part = fc.constantFrom(
      ..."href protocol username password host hostname port pathname search hash".split(" "),
    );
    const value = fc.constantFrom(
      ..."https http: mqtt file x:9 y:0 :7 8080 443 65536 9a /a/../b ?q q#r #h a@b ü %41 http://new/ [::1] 1.2 //z".split(
        " ",
      ),
      "",
      "a b",
      "\\",
    );
    const start = fc.constantFrom("https://u:p@host:8443/a?b#c", "mqtt://host/a", "file:///a", "mailto:a", "http://h/");
    await fc.assert(
      fc.asyncProperty(start, fc.array(fc.tuple(part, value), { maxLength: 3 }), (address, changes) =>
        web.sameAsNode(
          `const url = new URL(given.address);
           for (const [part, value] of given.changes) url[part] = value;
           return ${PARTS}.map((part) => url[part])`,
          { address, changes },
        ),
      ),
      { numRuns: 1000 },
    );
  });

  it("and its searchParams are one", async () => {
    await web.sameAsNode(
      `const url = new URL("https://h/?a=1&a=2#x"); const log = [];
       url.searchParams.append("b", "ü &+"); log.push(url.href, url.searchParams === url.searchParams);
       url.search = "?c=3"; log.push([...url.searchParams].join(";"));
       url.searchParams.delete("c"); log.push(url.href, url.search);
       url.href = "https://h/?d"; log.push(url.searchParams.get("d"));
       return log`,
    );
  });

  it("has the names and kinds that a handler can ask for", async () => {
    await web.sameAsNode(
      `return [URL.name, URLSearchParams.name, String(Object.prototype.toString.call(new URL("a:b"))),
         Object.prototype.toString.call(new URLSearchParams()), new URL("a:b") instanceof URL]`,
    );
    for (const made of ["URL('a:b')", "new URL()", "URLSearchParams()", "new URL(Symbol())"]) {
      await web.sameAsNode(`try { return String(${made}) } catch (error) { return error.constructor === TypeError }`);
    }
    await web.sameAsNode(`return new URL({ toString: () => "https://h/" }).href`);
  });
});

const PARAMS: readonly string[] = [
  `"a=1&b=2&a=3"`,
  `"?a=%20+%2B&%zz=ü&&=&x"`,
  `{ a: 1, b: "x y", "ä": null }`,
  `[["a", "1"], ["b", 2]]`,
  `new Map([["a", 1]])`,
  `new URLSearchParams("a=1")`,
  `undefined`,
  `null`,
  `12`,
  `"a=😀&b=ü%c3%bc"`,
  `[["a"]]`,
  `[["a", "b", "c"]]`,
  `[1]`,
];

describe("URLSearchParams", () => {
  it.each(PARAMS)("of %s is what Node makes of it", async (source) => {
    await web.sameAsNode(
      `let params;
       try { params = new URLSearchParams(${source}) } catch (error) { return error.constructor === TypeError }
       return [String(params), [...params], [...params.keys()], [...params.values()], params.size]`,
    );
  });

  it("reads and writes any text as Node does", async () => {
    // What is no UTF-8 stands alone: beside letters beyond ASCII Node loses these, and beside other bytes we do.
    const piece = fc.constantFrom(..."g = & + % %2 %41 %c3%bc %e2%82%ac -%ff- ~ * ' ?".split(" "), " ");
    await fc.assert(
      fc.asyncProperty(
        fc.array(piece, { maxLength: 12 }),
        fc.string({ unit: "binary", maxLength: 10 }),
        (pieces, text) =>
          web.sameAsNode(
            `const params = new URLSearchParams(given[0]); params.append(given[1], given[1]);
           return [String(params), [...params]]`,
            [pieces.join(""), text],
          ),
      ),
      { numRuns: 1000 },
    );
  });

  it("keeps letters beside bytes that are no UTF-8", () => {
    expect(web.evaluate(`String(new URLSearchParams("ü%ff"))`)).toBe("%C3%BC%EF%BF%BD=");
  });

  it("writes half a pair of surrogates as U+FFFD", async () => {
    await web.sameAsNode(`const params = new URLSearchParams(); params.set("a", "\\ud800"); return String(params)`);
  });

  it("is changed, sorted and walked through as Node does", async () => {
    await web.sameAsNode(
      `const params = new URLSearchParams("z=1&a=2&z=3&ﬃ=4&🌈=5&a=1"); const log = [];
       log.push(params.get("z"), params.getAll("z"), params.has("z"), params.has("z", "3"), params.has("z", "9"), params.get("no"));
       params.sort(); log.push(String(params));
       params.set("z", "only"); log.push(String(params));
       params.delete("a", "2"); log.push(String(params));
       params.delete("a"); log.push(String(params));
       params.forEach((value, name, all) => log.push(value, name, all === params));
       return log`,
    );
  });
});
