import { chmod, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { request } from "node:http";
import type { IncomingMessage } from "node:http";
import { connect } from "node:net";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { describe, expect, it } from "vitest";
import { mayAct, openAccess, ROLES } from "../../src/control/access.ts";
import { Control } from "../../src/control/control.ts";
import { isLoopback } from "../../src/control/loopback.ts";
import { controlSettings } from "../../src/control/settings.ts";
import { createLog } from "../../src/log.ts";
import { systemClock } from "../../src/time.ts";
import { MemorySource } from "../doubles/control-source.ts";
import { openControl } from "./opened.ts";

const log = createLog({ level: "silent", pretty: false });
const PATHS = ["/metrics", "/api/v1/status", "/api/v1/dead", "/api/v1/openapi.json", "/", "/nothing"];

describe("the token (C2)", () => {
  it("is asked for by every path but the health paths, existing or not", async () => {
    await using opened = await openControl();
    const { url } = opened.control;
    for (const path of PATHS) {
      const answer = await fetch(url + path);
      expect([path, answer.status]).toEqual([path, 401]);
      expect(answer.headers.get("www-authenticate")).toBe('Bearer realm="sluice"');
      expect(await answer.json()).toMatchObject({ code: "CONTROL_UNAUTHORIZED", status: 401 });
    }
    for (const path of ["/livez", "/readyz"]) expect((await fetch(url + path)).status).toBe(200);
  });

  it("is asked for by paths that cannot be read, and only then is said what is wrong with them (C5)", async () => {
    await using opened = await openControl();
    for (const path of ["/api/v1/dead/%", `/api/v1/dead/${"x".repeat(201)}`]) {
      const stranger = await fetch(opened.control.url + path);
      expect([path, stranger.status]).toEqual([path, 401]);
      expect(stranger.headers.get("content-type")).toContain("application/problem+json");
      expect(await stranger.json()).toMatchObject({ code: "CONTROL_UNAUTHORIZED", status: 401 });
      const known = await opened.ask(path);
      expect([path, known.status]).toEqual([path, 400]);
      expect(known.headers.get("content-type")).toContain("application/problem+json");
      expect(known.headers.get("cache-control")).toBe("no-store");
      expect(await known.json()).toMatchObject({ code: "CONTROL_REQUEST", status: 400 });
    }
  });

  it.each([
    "",
    "Bearer",
    "Bearer ",
    "Basic YWRtaW46YWRtaW4=",
    "Bearer wrong",
    `Bearer ${"A".repeat(43)}`,
    `Bearer ${"A".repeat(10_000)}`,
    "token abc",
  ])("is not any of %j", async (authorization) => {
    await using opened = await openControl();
    const answer = await fetch(`${opened.control.url}/api/v1/status`, { headers: { authorization } });
    expect(answer.status).toBe(401);
  });

  it("is never taken from a query or a cookie", async () => {
    await using opened = await openControl();
    const { token, control } = opened;
    expect((await fetch(`${control.url}/api/v1/status?token=${token}&access_token=${token}`)).status).toBe(401);
    expect((await fetch(`${control.url}/api/v1/status`, { headers: { cookie: `token=${token}` } })).status).toBe(401);
  });

  it("is 32 random bytes in a file that only its owner reads, and stays the same over restarts", async () => {
    await using opened = await openControl();
    const path = join(opened.data, "admin.token");
    expect(opened.token).toMatch(/^[A-Za-z0-9_-]{43}$/);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    const access = await openAccess(opened.data, log);
    expect(access.whoHas(opened.token)).toEqual({ name: "admin", role: "admin" });
    expect(access.whoHas(`${opened.token}x`)).toBeUndefined();
    await using other = await openControl();
    expect(other.token).not.toBe(opened.token);
  });

  it("is closed to others again when somebody opened its file, and refused when the file holds something else", async () => {
    await using opened = await openControl();
    const path = join(opened.data, "admin.token");
    await chmod(path, 0o644);
    await openAccess(opened.data, log);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    await writeFile(path, "admin");
    await expect(openAccess(opened.data, log)).rejects.toMatchObject({ code: "CONTROL_TOKEN", where: path });
    expect(await readFile(path, "utf8")).toBe("admin");
  });

  it("survives a crash while it is drawn: a token half written is not used", async () => {
    const data = await mkdtemp(join(tmpdir(), "sluice-token-"));
    await writeFile(join(data, "admin.token.new"), "half", { mode: 0o644 });
    const access = await openAccess(data, log);
    expect(access.whoHas("half")).toBeUndefined();
    expect((await stat(join(data, "admin.token"))).mode & 0o777).toBe(0o600);
    await rm(data, { recursive: true });
  });

  it("of a role may do what that role may, and no more", () => {
    const may = ROLES.map((role) => ROLES.map((needed) => mayAct({ name: "x", role }, needed)));
    expect(may).toEqual([
      [true, false, false],
      [true, true, false],
      [true, true, true],
    ]);
  });
});

describe("the Host header (C3)", () => {
  it.each([
    ["evil.example", 421],
    ["evil.example:8080", 421],
    ["127.0.0.1.evil.example", 421],
    ["localhost.evil.example", 421],
    ["0.0.0.0", 421],
    ["[::ffff:7f00:1]", 421],
    ["localhost", 200],
    ["LOCALHOST:1234", 200],
    ["127.0.0.1", 200],
    ["[::1]:8080", 200],
  ])("%s is answered %d", async (host, status) => {
    await using opened = await openControl();
    const answer = await get(opened.control.url, "/livez", { host });
    expect(answer.statusCode).toBe(status);
  });
});

describe("the address (C1)", () => {
  it.each(["http://0.0.0.0:0", "http://192.168.1.1:0", "http://[::]:0", "http://example.com:0"])(
    "%s is refused",
    async (url) => {
      const result = controlSettings.safeParse({ url });
      expect(result.error?.issues[0]).toMatchObject({ params: { fault: "CONTROL_OPEN" } });
      // Also when a config came in by another way than the schema.
      const settings = { ...controlSettings.parse({}), url };
      const options = { settings, data: tmpdir(), source: new MemorySource(), clock: systemClock, log };
      await expect(Control.open(options)).rejects.toMatchObject({ code: "CONTROL_OPEN" });
    },
  );

  it("is not reachable through the box's other addresses", async () => {
    await using opened = await openControl();
    const outer = Object.values(networkInterfaces())
      .flat()
      .find((of) => of?.family === "IPv4" && !of.internal)?.address;
    if (outer === undefined) return;
    const socket = connect(Number(new URL(opened.control.url).port), outer);
    await expect(once(socket, "connect")).rejects.toMatchObject({ code: "ECONNREFUSED" });
  });

  it("that another program has is a fault that names it", async () => {
    await using opened = await openControl();
    await expect(openControl({ url: opened.control.url })).rejects.toMatchObject({
      code: "CONTROL_LISTEN",
      where: opened.control.url,
    });
  });

  it.each([
    ["127.0.0.1", true],
    ["127.255.0.9", true],
    ["localhost", true],
    ["[::1]", true],
    ["::1", true],
    ["127.0.0.1.nip.io", false],
    ["128.0.0.1", false],
    ["", false],
  ])("%s is loopback: %s", (host, is) => {
    expect(isLoopback(host)).toBe(is);
  });
});

async function get(url: string, path: string, headers: Record<string, string>): Promise<IncomingMessage> {
  const sent = request(url + path, { headers });
  sent.end();
  const [answer] = (await once(sent, "response")) as [IncomingMessage];
  answer.resume();
  return answer;
}

describe("bytes that become no request (C5)", () => {
  it.each([
    ["GET /livez HTTP/1.1\r\nhost: localhost\r\nx: " + "y".repeat(17_000) + "\r\n\r\n", 431, "CONTROL_REQUEST"],
    ["no http at all\r\n\r\n", 400, "CONTROL_REQUEST"],
    ["GET /livez HTTP/1.1\r\nconnection: close\r\n\r\n", 421, "CONTROL_HOST"],
  ])("are answered with a problem: %#", async (bytes, status, code) => {
    await using opened = await openControl();
    const socket = connect(Number(new URL(opened.control.url).port), "127.0.0.1");
    socket.write(bytes);
    const [head, body] = (await text(socket)).split("\r\n\r\n");
    expect(head).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    expect(head).toMatch(/^content-type: application\/problem\+json/m);
    expect(JSON.parse(body ?? "")).toMatchObject({ status, code, remedy: expect.any(String) });
  });
});
