/** The way out by itself: grants, names that lead elsewhere, redirects, and servers that misbehave. */
import { once } from "node:events";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { describe, expect, it } from "vitest";
import type { FetchAsk } from "../../src/fetch.ts";
import { bodyOf, dns, failure, fetchEnd, open, other, patient, site, useSites } from "./opened.ts";

useSites();

describe("an origin", () => {
  it("that is granted is fetched from, and no other: not another port, host or scheme (E1)", async () => {
    const { origin, port } = site;
    expect(bodyOf(await fetchEnd(`${origin}/hello`))).toBe("hello");
    for (const url of [`${other.origin}/hello`, `https://127.0.0.1:${port}/`, `http://localhost:${port}/hello`]) {
      const denied = failure("HANDLER_FETCH_DENIED", /not granted.*add "/, true);
      expect(await fetchEnd(url, { grants: [origin] })).toEqual(denied);
    }
    expect(other.requests).toHaveLength(0);
    expect(dns.lookups).toEqual([]);
  });

  it("is compared as URLs are, however it is written", async () => {
    const url = `http://0x7f.1:${site.port}/a/../hello`;
    expect(bodyOf(await fetchEnd(url, { grants: [site.origin] }))).toBe("hello");
    dns.names = { "plant.example": ["127.0.0.1"] };
    const denied = await fetchEnd(`http://plant.example.evil.example/`, { grants: ["http://plant.example"] });
    expect(denied).toMatchObject({ code: "HANDLER_FETCH_DENIED" });
    const tricky = await fetchEnd(`http://plant.example@evil.example/`, { grants: ["http://plant.example"] });
    expect(tricky).toMatchObject({ code: "HANDLER_FETCH_INVALID" });
  });

  it.each(["ftp://127.0.0.1/", "file:///etc/passwd", "data:,x", "ws://127.0.0.1/", "javascript:1"])(
    "of %s is none",
    async (url) => {
      expect(await fetchEnd(url, { grants: ["null", url] })).toEqual(failure("HANDLER_FETCH_DENIED", /http/, true));
    },
  );
});

describe("a name", () => {
  it.each([
    ["loopback", ["127.0.0.1"]],
    ["loopback of IPv6", ["::1"]],
    ["loopback in IPv6", ["::ffff:127.0.0.1"]],
    ["link-local addresses", ["169.254.169.254"]],
    ["nothing", ["0.0.0.0"]],
    ["a private address", ["192.168.1.5"]],
    ["several of them", ["10.0.0.1", "fd00::1"]],
  ])("that resolves to %s is refused when the connection is made (E2)", async (_, addresses) => {
    dns.names = { "api.example": addresses };
    const end = await fetchEnd(`http://api.example:${site.port}/hello`);
    expect(end).toEqual(failure("HANDLER_FETCH_ADDRESS", /api\.example:\d+ resolves to .*private: true/));
    expect(dns.lookups).toEqual(["api.example"]);
  });

  it("that is granted as private may be private, and still nothing else (E2)", async () => {
    const origin = `http://historian.plant:${site.port}`;
    const grants = [{ origin, private: true }];
    for (const addresses of [["127.0.0.1"], ["169.254.169.254"], ["::1"]]) {
      dns.names = { "historian.plant": addresses };
      const end = await fetchEnd(`${origin}/hello`, { grants });
      expect(end).toEqual(failure("HANDLER_FETCH_ADDRESS", /only a grant of the address itself/));
    }
    // Nobody listens there, or not within this time; what counts is that it was let through.
    dns.names = { "historian.plant": ["10.255.255.1"] };
    const end = await fetchEnd(`${origin}/hello`, { grants, timeoutMs: 100 });
    expect(["HANDLER_FETCH_TIMEOUT", "HANDLER_FETCH_FAILED"]).toContain((end as { code: string }).code);
  });

  it("called localhost leads to this box, and to nothing that somebody made of it", async () => {
    const origin = `http://localhost:${site.port}`;
    dns.names = { localhost: ["127.0.0.1"] };
    expect(bodyOf(await fetchEnd(`${origin}/hello`))).toBe("hello");
    dns.names = { localhost: ["1.1.1.1"] };
    expect(await fetchEnd(`${origin}/hello`)).toMatchObject({ code: "HANDLER_FETCH_ADDRESS" });
  });

  it("that is rebound leads nowhere: it is looked up for each connection, and the connection goes where that said", async () => {
    const egress = open();
    dns.names = { localhost: ["127.0.0.1"] };
    expect(bodyOf(await fetchEnd(`http://localhost:${site.port}/hello`, { egress }))).toBe("hello");
    dns.names = { localhost: ["10.0.0.1"] };
    const end = await fetchEnd(`http://localhost:${other.port}/hello`, { egress });
    expect(end).toMatchObject({ code: "HANDLER_FETCH_ADDRESS" });
    expect(dns.lookups).toEqual(["localhost", "localhost"]);
  });

  it("that nobody knows is a failure that passes", async () => {
    expect(await fetchEnd("http://nobody.example/")).toEqual(failure("HANDLER_FETCH_FAILED", /ENOTFOUND/));
  });

  it("is looked up once for all who wait for it", async () => {
    dns.names = { localhost: ["127.0.0.1"] };
    const egress = open();
    const all = ["a", "b", "c"].map((handler) => fetchEnd(`http://localhost:${site.port}/hello`, { egress, handler }));
    expect((await Promise.all(all)).map(bodyOf)).toEqual(["hello", "hello", "hello"]);
    expect(dns.lookups).toEqual(["localhost"]);
  });
});

describe("a redirect", () => {
  const both = (): string[] => [site.origin, other.origin];

  it("to what is not granted is not followed (E1)", async () => {
    const before = other.requests.length;
    const end = await fetchEnd(`${site.origin}/to-other`);
    expect(end).toEqual(
      failure("HANDLER_FETCH_DENIED", /^a redirect by \S+:\d+ leads to http:\/\/127.0.0.1:\d+, which is not/, true),
    );
    // The other side chose where to.
    expect(end).toMatchObject({ message: expect.stringMatching(/only if you trust/) });
    expect(end).toMatchObject({ message: expect.not.stringMatching(/add "/) });
    expect(await fetchEnd(`${site.origin}/to-metadata`)).toMatchObject({ code: "HANDLER_FETCH_DENIED" });
    expect(await fetchEnd(`${site.origin}/to-file`)).toMatchObject({ code: "HANDLER_FETCH_DENIED" });
    expect(other.requests.length).toBe(before);
  });

  it("to another granted origin goes without credentials (E5)", async () => {
    const headers = [
      ["Authorization", "Bearer x"],
      ["cookie", "a=b"],
      ["x-own", "1"],
    ] as const;
    const seen = async (path: string): Promise<Record<string, unknown>> =>
      (JSON.parse(bodyOf(await fetchEnd(site.origin + path, { headers, grants: both() }))) as { headers: object })
        .headers as Record<string, unknown>;
    const there = await seen("/to-other");
    expect(there).toMatchObject({ "x-own": "1", host: `127.0.0.1:${other.port}` });
    expect(there).not.toHaveProperty("authorization");
    expect(there).not.toHaveProperty("cookie");
    expect(await seen("/to-echo-302")).toMatchObject({ authorization: "Bearer x", cookie: "a=b" });
  });

  it.each([
    ["/to-echo-303", "PUT", { method: "GET", body: "" }],
    ["/to-echo-302", "POST", { method: "GET", body: "" }],
    ["/to-echo-302", "PUT", { method: "PUT", body: "sent" }],
    ["/to-echo-307", "POST", { method: "POST", body: "sent" }],
    ["/to-other-307", "POST", { method: "POST", body: "sent" }],
  ])("by %s turns %s into %j", async (path, method, there) => {
    const headers = [["content-type", "text/x"]] as const;
    const end = await fetchEnd(site.origin + path, { method, body: Buffer.from("sent"), headers, grants: both() });
    const seen = JSON.parse(bodyOf(end)) as { headers: Record<string, string> };
    expect(seen).toMatchObject(there);
    expect(seen.headers["content-type"]).toBe(there.body === "" ? undefined : "text/x");
    expect(end).toMatchObject({ redirected: true });
  });

  it("may lead five times further, and not six", async () => {
    expect(bodyOf(await fetchEnd(`${site.origin}/chain?5`))).toBe("the end");
    expect(await fetchEnd(`${site.origin}/chain?6`)).toEqual(failure("HANDLER_FETCH_FAILED", /more than 5 redirects/));
    expect(await fetchEnd(`${site.origin}/loop`)).toMatchObject({ code: "HANDLER_FETCH_FAILED" });
  });

  it("is an answer or a failure where that is asked for", async () => {
    const manual = await fetchEnd(`${site.origin}/to-other`, { redirect: "manual" });
    expect(manual).toMatchObject({ at: "answered", status: 302, redirected: false });
    expect(await fetchEnd(`${site.origin}/to-other`, { redirect: "error" })).toMatchObject({
      code: "HANDLER_FETCH_FAILED",
    });
    expect(bodyOf(await fetchEnd(`${site.origin}/no-location`))).toBe("stay");
  });

  it("to a password, or to no address, is a failure, and the password is not told", async () => {
    const password = await fetchEnd(`${site.origin}/to-password`);
    expect(password).toMatchObject({ code: "HANDLER_FETCH_INVALID" });
    expect(JSON.stringify(password)).not.toContain("secret");
    expect(await fetchEnd(`${site.origin}/to-nowhere`)).toMatchObject({ code: "HANDLER_FETCH_FAILED" });
  });
});

describe("a request", () => {
  it.each<[string, Partial<FetchAsk>]>([
    ["a method that is none", { method: "GE T" }],
    ["a method that tunnels", { method: "connect" }],
    ["a newline in a header", { headers: [["a", "b\r\nc: d"]] }],
    ["a newline in a header's name", { headers: [["a\r\n", "b"]] }],
    ["a NUL in a header", { headers: [["a", "\0"]] }],
    ["a header beyond latin1", { headers: [["a", "€"]] }],
    ["too many headers", { headers: Array.from({ length: 101 }, () => ["a", "b"] as const) }],
    ["too long headers", { headers: [["a", "b".repeat(16_384)]] }],
  ])("with %s is not made", async (_, ask) => {
    const before = site.requests.length;
    expect(await fetchEnd(`${site.origin}/hello`, ask)).toMatchObject({ code: "HANDLER_FETCH_INVALID", final: false });
    expect(site.requests.length).toBe(before);
  });

  it("with an address that is too long is not made, one at the limit is", async () => {
    const longest = `${site.origin}/hello?`.padEnd(8192, "x");
    expect(bodyOf(await fetchEnd(longest))).toBe("hello");
    expect(await fetchEnd(`${longest}x`)).toMatchObject({ code: "HANDLER_FETCH_INVALID" });
  });

  it("cannot say how it travels", async () => {
    const own = ["Host", "Connection", "Content-Length", "Transfer-Encoding", "Upgrade", "TE", "Proxy-Authorization"];
    const headers = own.map((name) => [name, "evil"] as const);
    const end = await fetchEnd(`${site.origin}/echo`, { method: "POST", body: Buffer.from("abc"), headers });
    const seen = JSON.parse(bodyOf(end)) as { headers: Record<string, string>; body: string };
    expect(seen.body).toBe("abc");
    expect(JSON.stringify(seen.headers)).not.toContain("evil");
  });
});

describe("an answer", () => {
  it.each(["/gzip", "/br", "/deflate"])("that is packed (%s) is unpacked", async (path) => {
    expect(bodyOf(await fetchEnd(site.origin + path))).toBe("packed");
  });

  it.each([
    ["/bomb", "SANDBOX_FETCH_TOO_LARGE", /longer than 65536 bytes/],
    ["/endless", "SANDBOX_FETCH_TOO_LARGE", /longer than 65536 bytes/],
    ["/no-gzip", "HANDLER_FETCH_FAILED", /incorrect header check/],
    ["/half-gzip", "HANDLER_FETCH_FAILED", /unexpected end/],
    ["/odd-coding", "HANDLER_FETCH_FAILED", /content-encoding "rot13"/],
    ["/cut", "HANDLER_FETCH_FAILED", /aborted|ended within/],
    ["/reset", "HANDLER_FETCH_FAILED", /socket hang up|without an answer/],
    ["/many-headers", "HANDLER_FETCH_FAILED", /Header overflow/i],
  ])("of %s is a failure", async (path, code, message) => {
    expect(await fetchEnd(site.origin + path)).toEqual(failure(code, message));
  });

  it.each(["/hang", "/slow-body", "/endless"])("that does not end (%s) is cut off in time (E3)", async (path) => {
    const responseBytesMax = 1024 * 1024 * 1024;
    const egress = open({ bytesMax: 2 * responseBytesMax });
    const end = await fetchEnd(site.origin + path, { timeoutMs: 80, responseBytesMax, egress });
    expect(end).toEqual(failure("HANDLER_FETCH_TIMEOUT", /80 ms/));
    await expect.poll(() => site.requests.at(-1)?.givenUp, patient).toBe(true);
  });

  it.each([
    ["/reset-content", "null"],
    ["/deflate-and-more", "packed"],
    ["/br-and-more", "packed"],
  ])("that goes on behind its content (%s) ends with its fetch (E3)", async (path, content) => {
    const end = await fetchEnd(site.origin + path);
    expect(end.at === "answered" && String(end.body ?? null)).toBe(content);
    await expect.poll(() => site.requests.at(-1)?.givenUp, patient).toBe(true);
  });

  it("to HEAD has no content", async () => {
    const end = await fetchEnd(`${site.origin}/head`, { method: "HEAD" });
    expect(end).toMatchObject({ at: "answered", status: 200, body: undefined });
  });

  it("may be as long as the limit", async () => {
    const end = await fetchEnd(`${site.origin}/large`);
    expect(end.at === "answered" && end.body?.length).toBe(64 * 1024);
    expect(await fetchEnd(`${site.origin}/large`, { responseBytesMax: 64 * 1024 - 1 })).toMatchObject({
      code: "SANDBOX_FETCH_TOO_LARGE",
    });
  });

  it("of a server with another name in its certificate, or none at all, is none", async () => {
    const server = createServer((socket) => socket.end("HTTP/1.1 200 OK\r\n\r\n"));
    await once(server.listen(0, "127.0.0.1"), "listening");
    const { port } = server.address() as AddressInfo;
    expect(await fetchEnd(`https://127.0.0.1:${port}/`)).toMatchObject({ code: "HANDLER_FETCH_FAILED" });
    server.close();
  });
});
