/** The way out by itself: grants, names that lead elsewhere, redirects, and servers that misbehave. */
import type { LookupAddress } from "node:dns";
import { once } from "node:events";
import type { ServerResponse } from "node:http";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { brotliCompressSync, deflateSync, gzipSync } from "node:zlib";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { Egress } from "../../src/egress/egress.ts";
import type { EgressLimits } from "../../src/egress/egress.ts";
import type { Lookup } from "../../src/egress/connect.ts";
import type { FetchAsk, FetchEnd, FetchGrant } from "../../src/fetch.ts";
import { echo, hang, openSite, redirect, text } from "../doubles/http-site.ts";
import type { HttpSite } from "../doubles/http-site.ts";

const RESPONSE_BYTES_MAX = 64 * 1024;
const LIMITS: EgressLimits = { fetchesMax: 4, bytesMax: 200 * 1024 };
const patient = { timeout: 10_000, interval: 10 };

let site: HttpSite;
let other: HttpSite;
const egresses: Egress[] = [];
let names: Record<string, readonly string[]> = {};
let lookups: string[] = [];

const lookup: Lookup = (hostname, _, callback) => {
  lookups.push(hostname);
  const found = names[hostname];
  const error = Object.assign(new Error(`getaddrinfo ENOTFOUND ${hostname}`), { code: "ENOTFOUND" });
  setImmediate(() =>
    found === undefined
      ? callback(error, [])
      : callback(
          null,
          found.map((address): LookupAddress => ({ address, family: address.includes(":") ? 6 : 4 })),
        ),
  );
};

function open(limits: Partial<EgressLimits> = {}): Egress {
  const egress = new Egress({ limits: { ...LIMITS, ...limits }, version: "1", lookup });
  egress.meet("h");
  egresses.push(egress);
  return egress;
}

interface Asked extends Partial<FetchAsk> {
  readonly grants?: readonly (string | FetchGrant)[];
  readonly timeoutMs?: number;
  readonly responseBytesMax?: number;
  readonly egress?: Egress;
  readonly handler?: string;
  readonly keep?: boolean;
}

/** Grants the origin that is asked for, unless grants are given. */
function fetchEnd(url: string, more: Asked = {}): Promise<FetchEnd> {
  const {
    grants = [new URL(url).origin],
    timeoutMs = 5000,
    responseBytesMax = RESPONSE_BYTES_MAX,
    egress = open(),
    handler = "h",
    keep = false,
    ...ask
  } = more;
  return new Promise((resolve) =>
    egress.fetch(
      {
        handler,
        timeoutMs,
        responseBytesMax,
        grants: grants.map((grant) => (typeof grant === "string" ? { origin: grant, private: false } : grant)),
        ask: { url, method: "GET", headers: [], body: undefined, redirect: "follow", ...ask },
      },
      (end, release) => {
        if (!keep) release();
        resolve(end);
      },
    ),
  );
}

const bodyOf = (end: FetchEnd): string => (end.at === "answered" ? String(end.body) : JSON.stringify(end));
const failure = (code: string, message: RegExp, final = false): object => ({
  at: "failed",
  code,
  message: expect.stringMatching(message),
  final,
});

/** Never ends. */
function trickle(answer: ServerResponse): void {
  const more = setInterval(() => answer.write("x".repeat(1000)), 1);
  answer.on("close", () => clearInterval(more));
}

beforeAll(async () => {
  other = await openSite({ "/hello": text("other"), "/echo": echo });
  site = await openSite({
    "/hello": text("hello"),
    "/echo": echo,
    "/hang": hang,
    "/to-other": redirect(`${other.origin}/echo`),
    "/to-other-307": redirect(`${other.origin}/echo`, 307),
    "/to-metadata": redirect("http://169.254.169.254/latest/meta-data/"),
    "/to-file": redirect("file:///etc/passwd"),
    "/to-password": redirect(`http://user:secret@127.0.0.1/`),
    "/to-nowhere": redirect("http://"),
    "/to-echo-303": redirect("/echo", 303),
    "/to-echo-302": redirect("/echo", 302),
    "/to-echo-307": redirect("/echo", 307),
    "/no-location": (answer) => answer.writeHead(302).end("stay"),
    "/chain": (answer, { path }) => {
      const left = Number(path.split("?")[1]);
      if (left === 0) answer.end("the end");
      else answer.writeHead(302, { location: `/chain?${left - 1}` }).end();
    },
    "/loop": redirect("/loop"),
    "/gzip": (answer) => answer.writeHead(200, { "content-encoding": "gzip" }).end(gzipSync("packed")),
    "/br": (answer) => answer.writeHead(200, { "content-encoding": "br" }).end(brotliCompressSync("packed")),
    "/deflate": (answer) => answer.writeHead(200, { "content-encoding": "deflate" }).end(deflateSync("packed")),
    "/bomb": (answer) =>
      answer.writeHead(200, { "content-encoding": "gzip" }).end(gzipSync(Buffer.alloc(50 * 1024 * 1024))),
    "/no-gzip": (answer) => answer.writeHead(200, { "content-encoding": "gzip" }).end("not packed"),
    "/half-gzip": (answer) =>
      answer.writeHead(200, { "content-encoding": "gzip" }).end(gzipSync("x".repeat(1000)).subarray(0, 20)),
    "/odd-coding": (answer) => answer.writeHead(200, { "content-encoding": "rot13" }).end("uryyb"),
    "/endless": trickle,
    "/reset-content": (answer) => {
      answer.writeHead(205);
      trickle(answer);
    },
    "/deflate-and-more": (answer) => {
      answer.writeHead(200, { "content-encoding": "deflate" }).write(deflateSync("packed"));
      trickle(answer);
    },
    "/br-and-more": (answer) => {
      answer.writeHead(200, { "content-encoding": "br" }).write(brotliCompressSync("packed"));
      trickle(answer);
    },
    "/slow-body": (answer) => void answer.write("a"),
    "/cut": (answer, _, raw) => {
      answer.writeHead(200, { "content-length": "100" });
      answer.write("only this");
      setTimeout(() => raw.socket.destroy(), 20);
    },
    "/reset": (_answer, _, raw) => void raw.socket.destroy(),
    "/large": (answer) => answer.end(Buffer.alloc(64 * 1024)),
    "/head": (answer) => answer.writeHead(200, { "content-length": "5" }).end(),
    "/many-headers": (answer) => {
      for (let n = 0; n < 30; n++) answer.setHeader(`x-${n}`, "y".repeat(1000));
      answer.end();
    },
  });
});
afterAll(async () => {
  await site[Symbol.asyncDispose]();
  await other[Symbol.asyncDispose]();
});
afterEach(() => {
  for (const egress of egresses.splice(0)) {
    const { inFlight, bytesHeld } = egress.figures();
    egress.close();
    // Whatever happened, nothing may be left of it (E3, E4).
    if (inFlight !== 0 || bytesHeld !== 0) throw new Error(`left over: ${inFlight} fetches, ${bytesHeld} bytes`);
  }
  names = {};
  lookups = [];
});

describe("an origin", () => {
  it("that is granted is fetched from, and no other: not another port, host or scheme (E1)", async () => {
    const { origin, port } = site;
    expect(bodyOf(await fetchEnd(`${origin}/hello`))).toBe("hello");
    for (const url of [`${other.origin}/hello`, `https://127.0.0.1:${port}/`, `http://localhost:${port}/hello`]) {
      const denied = failure("HANDLER_FETCH_DENIED", /not granted.*add "/, true);
      expect(await fetchEnd(url, { grants: [origin] })).toEqual(denied);
    }
    expect(other.requests).toHaveLength(0);
    expect(lookups).toEqual([]);
  });

  it("is compared as URLs are, however it is written", async () => {
    const url = `http://0x7f.1:${site.port}/a/../hello`;
    expect(bodyOf(await fetchEnd(url, { grants: [site.origin] }))).toBe("hello");
    names = { "plant.example": ["127.0.0.1"] };
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
    names = { "api.example": addresses };
    const end = await fetchEnd(`http://api.example:${site.port}/hello`);
    expect(end).toEqual(failure("HANDLER_FETCH_ADDRESS", /api\.example:\d+ resolves to .*private: true/));
    expect(lookups).toEqual(["api.example"]);
  });

  it("that is granted as private may be private, and still nothing else (E2)", async () => {
    const origin = `http://historian.plant:${site.port}`;
    const grants = [{ origin, private: true }];
    for (const addresses of [["127.0.0.1"], ["169.254.169.254"], ["::1"]]) {
      names = { "historian.plant": addresses };
      const end = await fetchEnd(`${origin}/hello`, { grants });
      expect(end).toEqual(failure("HANDLER_FETCH_ADDRESS", /only a grant of the address itself/));
    }
    // Nobody listens there, or not within this time; what counts is that it was let through.
    names = { "historian.plant": ["10.255.255.1"] };
    const end = await fetchEnd(`${origin}/hello`, { grants, timeoutMs: 100 });
    expect(["HANDLER_FETCH_TIMEOUT", "HANDLER_FETCH_FAILED"]).toContain((end as { code: string }).code);
  });

  it("called localhost leads to this box, and to nothing that somebody made of it", async () => {
    const origin = `http://localhost:${site.port}`;
    names = { localhost: ["127.0.0.1"] };
    expect(bodyOf(await fetchEnd(`${origin}/hello`))).toBe("hello");
    names = { localhost: ["1.1.1.1"] };
    expect(await fetchEnd(`${origin}/hello`)).toMatchObject({ code: "HANDLER_FETCH_ADDRESS" });
  });

  it("that is rebound leads nowhere: it is looked up for each connection, and the connection goes where that said", async () => {
    const egress = open();
    names = { localhost: ["127.0.0.1"] };
    expect(bodyOf(await fetchEnd(`http://localhost:${site.port}/hello`, { egress }))).toBe("hello");
    names = { localhost: ["10.0.0.1"] };
    const end = await fetchEnd(`http://localhost:${other.port}/hello`, { egress });
    expect(end).toMatchObject({ code: "HANDLER_FETCH_ADDRESS" });
    expect(lookups).toEqual(["localhost", "localhost"]);
  });

  it("that nobody knows is a failure that passes", async () => {
    expect(await fetchEnd("http://nobody.example/")).toEqual(failure("HANDLER_FETCH_FAILED", /ENOTFOUND/));
  });

  it("is looked up once for all who wait for it", async () => {
    names = { localhost: ["127.0.0.1"] };
    const egress = open();
    const all = ["a", "b", "c"].map((handler) => fetchEnd(`http://localhost:${site.port}/hello`, { egress, handler }));
    expect((await Promise.all(all)).map(bodyOf)).toEqual(["hello", "hello", "hello"]);
    expect(lookups).toEqual(["localhost"]);
  });
});

describe("a redirect", () => {
  const both = (): string[] => [site.origin, other.origin];

  it("to what is not granted is not followed (E1)", async () => {
    const before = other.requests.length;
    const end = await fetchEnd(`${site.origin}/to-other`);
    expect(end).toEqual(
      failure("HANDLER_FETCH_DENIED", /^a redirect leads to http:\/\/127.0.0.1:\d+, which is not/, true),
    );
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

describe("all fetches together", () => {
  it("are no more than the limit; one more fails at once, and may come again (E4)", async () => {
    const egress = open();
    const held = ["a", "a", "b", "b"].map((handler) =>
      fetchEnd(`${site.origin}/hang`, { egress, handler, timeoutMs: 300 }),
    );
    const more = await fetchEnd(`${site.origin}/hello`, { egress });
    expect(more).toEqual(failure("SANDBOX_FETCH_BUSY", /more than 4 fetches/));
    expect(egress.figures().inFlight).toBe(4);
    await Promise.all(held);
    expect(bodyOf(await fetchEnd(`${site.origin}/hello`, { egress }))).toBe("hello");
  });

  it("of one handler are no more than half of that, however many it asks for: others' are made (E6)", async () => {
    const egress = open();
    const held = Array.from({ length: 50 }, () => fetchEnd(`${site.origin}/hang`, { egress, timeoutMs: 300 }));
    const other = fetchEnd(`${site.origin}/hello`, { egress, handler: "other" });
    expect(bodyOf(await other)).toBe("hello");
    expect(egress.figures().inFlight).toBe(2);
    const ends = await Promise.all(held);
    expect(ends.filter((end) => end.at === "failed" && end.code === "SANDBOX_FETCH_BUSY")).toHaveLength(48);
    expect(bodyOf(await fetchEnd(`${site.origin}/hello`, { egress }))).toBe("hello");
  });

  it("of one handler hold no more bytes than half of that (E6)", async () => {
    const egress = open({ bytesMax: 4096 });
    const post = (bytes: number, handler: string): Promise<FetchEnd> =>
      fetchEnd(`${site.origin}/hang`, { egress, handler, method: "POST", body: Buffer.alloc(bytes), timeoutMs: 200 });
    const held = post(2048, "h");
    expect(await post(1, "h")).toMatchObject({ code: "SANDBOX_FETCH_BUSY" });
    expect(await post(2048, "other")).toMatchObject({ code: "HANDLER_FETCH_TIMEOUT" });
    await held;
    expect(await post(2048, "h")).toMatchObject({ code: "HANDLER_FETCH_TIMEOUT" });
  });

  it("hold no more bytes than the limit, until each is handed over (E4)", async () => {
    const egress = open({ bytesMax: 130 * 1024 });
    const releases: (() => void)[] = [];
    const large = (handler: string): Promise<FetchEnd> =>
      new Promise((resolve) =>
        egress.fetch(
          {
            handler,
            timeoutMs: 5000,
            responseBytesMax: RESPONSE_BYTES_MAX,
            grants: [{ origin: site.origin, private: false }],
            ask: { url: `${site.origin}/large`, method: "GET", headers: [], body: undefined, redirect: "follow" },
          },
          (end, release) => {
            releases.push(release);
            resolve(end);
          },
        ),
      );
    expect([(await large("a")).at, (await large("b")).at]).toEqual(["answered", "answered"]);
    expect(egress.figures().bytesHeld).toBe(128 * 1024);
    expect(await large("c")).toEqual(failure("SANDBOX_FETCH_BUSY", /too much/));
    const body = Buffer.alloc(3 * 1024);
    const sent = await fetchEnd(`${site.origin}/echo`, { egress, method: "POST", body });
    expect(sent).toMatchObject({ code: "SANDBOX_FETCH_BUSY" });
    for (const release of releases) {
      release();
      release();
    }
    expect(egress.figures().bytesHeld).toBe(0);
    expect((await fetchEnd(`${site.origin}/large`, { egress })).at).toBe("answered");
  });

  it("keep connections, and not those of private grants for others", async () => {
    const egress = open();
    const before = site.connections();
    for (let n = 0; n < 3; n++) await fetchEnd(`${site.origin}/hello`, { egress });
    expect(site.connections() - before).toBe(1);
    await fetchEnd(`${site.origin}/hello`, { egress, grants: [{ origin: site.origin, private: true }] });
    expect(site.connections() - before).toBe(2);
  });

  it("are counted by handler and by what became of them", async () => {
    const egress = open();
    await fetchEnd(`${site.origin}/echo`, { egress, method: "POST", body: Buffer.from("12345") });
    await fetchEnd("http://no.example/", { egress, grants: [] });
    await fetchEnd(`${site.origin}/hang`, { egress, timeoutMs: 30 });
    await fetchEnd(`${site.origin}/bomb`, { egress });
    const { h } = egress.figures().handlers;
    expect(h?.ends).toEqual({ answered: 1, failed: 0, denied: 1, timeout: 1, "too-large": 1, busy: 0, aborted: 0 });
    expect(h?.sentBytes).toBe(5);
    expect(h?.receivedBytes).toBeGreaterThan(64 * 1024);
    egress.forget("h");
    expect(egress.figures().handlers).toEqual({});
    // Its last batches go on for a while.
    await fetchEnd(`${site.origin}/hello`, { egress });
    expect(egress.figures().handlers).toEqual({});
  });

  it("that are aborted end at once, tell nobody, and give back what they held", async () => {
    const egress = open();
    let told = 0;
    const request = {
      handler: "h",
      timeoutMs: 5000,
      responseBytesMax: RESPONSE_BYTES_MAX,
      grants: [{ origin: site.origin, private: false }],
      ask: { url: `${site.origin}/endless`, method: "POST", headers: [], body: Buffer.from("x"), redirect: "follow" },
    } as const;
    const early = egress.fetch(request, () => told++);
    early();
    const before = site.requests.length;
    const abort = egress.fetch(request, () => told++);
    await expect.poll(() => site.requests.length, patient).toBe(before + 1);
    abort();
    abort();
    expect(egress.figures()).toMatchObject({ inFlight: 0, bytesHeld: 0 });
    await expect.poll(() => site.requests.at(-1)?.givenUp, patient).toBe(true);
    expect(told).toBe(0);
    expect(egress.figures().handlers["h"]?.ends.aborted).toBe(2);
  });
});
