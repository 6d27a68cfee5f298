/** The way out over real sites on loopback, with names that a test makes up. */
import type { LookupAddress } from "node:dns";
import type { ServerResponse } from "node:http";
import { brotliCompressSync, deflateSync, gzipSync } from "node:zlib";
import { afterAll, afterEach, beforeAll, expect } from "vitest";
import { Egress } from "../../src/egress/egress.ts";
import type { EgressLimits } from "../../src/egress/egress.ts";
import type { Lookup } from "../../src/egress/connect.ts";
import type { FetchAsk, FetchEnd, FetchGrant } from "../../src/fetch.ts";
import { echo, hang, openSite, redirect, text } from "../doubles/http-site.ts";
import type { HttpSite } from "../doubles/http-site.ts";

export const RESPONSE_BYTES_MAX = 64 * 1024;
const LIMITS: EgressLimits = { fetchesMax: 4, bytesMax: 200 * 1024 };
export const patient = { timeout: 10_000, interval: 10 };

export let site: HttpSite;
export let other: HttpSite;
const egresses: Egress[] = [];
/** What names resolve to, and what was looked up; forgotten after each test. */
export const dns: { names: Record<string, readonly string[]>; lookups: string[] } = { names: {}, lookups: [] };

const lookup: Lookup = (hostname, _, callback) => {
  dns.lookups.push(hostname);
  const found = dns.names[hostname];
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

export function open(limits: Partial<EgressLimits> = {}): Egress {
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
export function fetchEnd(url: string, more: Asked = {}): Promise<FetchEnd> {
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

export const bodyOf = (end: FetchEnd): string => (end.at === "answered" ? String(end.body) : JSON.stringify(end));
export const failure = (code: string, message: RegExp, final = false): object => ({
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

/** To be called once by a file of tests: two sites on loopback, and a look after each test that nothing is left over. */
export function useSites(): void {
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
    dns.names = {};
    dns.lookups = [];
  });
}
