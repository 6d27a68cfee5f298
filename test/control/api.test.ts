import { once } from "node:events";
import { connect } from "node:net";
import { describe, expect, it } from "vitest";
import * as shapes from "../../src/control/shapes.ts";
import { Fault } from "../../src/fault.ts";
import { deadLetter } from "../doubles/control-source.ts";
import { openControl } from "./opened.ts";

const jsonBody = (body: unknown): RequestInit => ({
  body: JSON.stringify(body),
  headers: { "content-type": "application/json" },
});

describe("health", () => {
  it("/readyz answers 503 with the reasons while the gateway is not ready; /livez does not mind", async () => {
    await using opened = await openControl();
    opened.source.reasons = ["the journal is full"];
    const answer = await fetch(`${opened.control.url}/readyz`);
    expect(answer.status).toBe(503);
    expect(await answer.json()).toEqual({ ready: false, reasons: ["the journal is full"] });
    expect((await fetch(`${opened.control.url}/livez`)).status).toBe(200);
  });
});

describe("/api/v1/status", () => {
  it("carries the ledger as the design has it, and has the shape that the description gives", async () => {
    await using opened = await openControl();
    const body: unknown = await (await opened.ask("/api/v1/status")).json();
    expect(body).toMatchObject({
      ledger: {
        events: { accepted: 10, done: 6, dead: 2, expired: 0, dropped: 1, pending: 1 },
        uplinks: { cloud: { emitted: 7, delivered: 4, expired: 0, dropped: 0, rejected: 1, waiting: 2 } },
      },
      ready: true,
      started: "1970-01-01T00:16:40.000Z",
    });
    expect(shapes.status.strict().safeParse(body).error).toBeUndefined();
  });
});

describe("what waits for handlers", () => {
  it("is dropped when the handler is gone, and only then", async () => {
    await using opened = await openControl();
    opened.source.gone.add("left over");
    const drop = (name: string): Promise<Response> =>
      opened.ask(`/api/v1/handlers/${encodeURIComponent(name)}/tasks`, { method: "DELETE" });
    expect(await (await drop("left over")).json()).toEqual({ count: 2 });
    expect(await (await drop("left over")).json()).toEqual({ count: 0 });
    const refused = await drop("overheat");
    expect(refused.status).toBe(409);
    expect(await refused.json()).toMatchObject({ code: "CONTROL_DEPLOYED" });
  });
});

describe("dead letters", () => {
  it("are listed page by page, oldest first, by handler", async () => {
    await using opened = await openControl();
    opened.source.letters = Array.from({ length: 25 }, (_, n) =>
      deadLetter(n, n % 5 === 0 ? { handler: "other" } : {}),
    );
    const seen: string[] = [];
    let path = "/api/v1/dead?limit=10";
    for (let page = 0; page < 9; page++) {
      const body = shapes.letters.parse(await (await opened.ask(path)).json());
      seen.push(...body.letters.map(({ id }) => id));
      if (body.next === undefined) break;
      path = `/api/v1/dead?limit=10&after=${body.next}`;
    }
    expect(seen).toEqual(opened.source.letters.map(({ id }) => id));
    const others = shapes.letters.parse(await (await opened.ask("/api/v1/dead?handler=other")).json());
    expect(others.letters).toHaveLength(5);
  });

  it("are shown with their payload, as JSON where it is JSON and as bytes always", async () => {
    await using opened = await openControl();
    opened.source.letters = [deadLetter(1), deadLetter(2, { payload: Buffer.from([0xff, 0x00]), source: undefined })];
    const json = shapes.letterWhole.parse(await (await opened.ask("/api/v1/dead/d000001")).json());
    expect(json).toMatchObject({ data: { c: 1 }, data_base64: "eyJjIjoxfQ==", device: "press-1", tries: 5 });
    const bytes = shapes.letterWhole.parse(await (await opened.ask("/api/v1/dead/d000002")).json());
    expect(bytes.data).toBeUndefined();
    expect(bytes.data_base64).toBe("/wA=");
  });

  it("are redriven and dropped one by one, and answered 404 the second time", async () => {
    await using opened = await openControl();
    opened.source.letters = [deadLetter(1), deadLetter(2)];
    expect(await (await opened.ask("/api/v1/dead/d000001/redrive", { method: "POST" })).json()).toEqual({ count: 1 });
    expect(await (await opened.ask("/api/v1/dead/d000002", { method: "DELETE" })).json()).toEqual({ count: 1 });
    expect([opened.source.redriven, opened.source.dropped]).toEqual([["d000001"], ["d000002"]]);
    const again = await opened.ask("/api/v1/dead/d000001/redrive", { method: "POST" });
    expect(again.status).toBe(404);
    expect(again.headers.get("content-type")).toContain("application/problem+json");
    expect(await again.json()).toMatchObject({
      type: "urn:sluice:fault:CONTROL_NOT_FOUND",
      code: "CONTROL_NOT_FOUND",
      status: 404,
    });
  });

  it("of a handler are redriven a bounded number at a time, and those that die meanwhile are not chased", async () => {
    await using opened = await openControl();
    opened.source.letters = Array.from({ length: 7 }, (_, n) => deadLetter(n, n === 3 ? { handler: "other" } : {}));
    const until = new Date(opened.source.letters[5]?.timeMs ?? 0).toISOString();
    const redrive = async (body: object): Promise<unknown> =>
      (
        await opened.ask("/api/v1/dead/redrive", {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ handler: "overheat", until, limit: 4, ...body }),
        })
      ).json();
    expect(await redrive({})).toEqual({ count: 4, next: "d000004" });
    expect(await redrive({ after: "d000004" })).toEqual({ count: 1 });
    expect(opened.source.letters.map(({ id }) => id)).toEqual(["d000003", "d000006"]);
  });
});

describe("a request that is not right", () => {
  it.each([
    ["GET", "/api/v1/dead?limit=0", undefined, 400],
    ["GET", "/api/v1/dead?limit=1001", undefined, 400],
    ["GET", "/api/v1/dead?limit=many", undefined, 400],
    ["POST", "/api/v1/dead/redrive", '{"handlr":"x"}', 400],
    ["POST", "/api/v1/dead/redrive", "{", 400],
    ["GET", "/api/v2/status", undefined, 404],
    ["POST", "/api/v1/status", undefined, 404],
    ["POST", "/api/v1/dead/redrive", `{"handler":"${"x".repeat(1100)}"}`, 413],
  ])("%s %s %s is answered %d with a problem (C5)", async (method, path, body, status) => {
    await using opened = await openControl({ limits: { bodyMax: "1KB" } });
    const answer = await opened.ask(path, {
      method,
      ...(body === undefined ? {} : { body, headers: { "content-type": "application/json" } }),
    });
    expect(answer.status).toBe(status);
    const problem = (await answer.json()) as Record<string, unknown>;
    expect(problem).toMatchObject({ status, code: expect.stringMatching(/^CONTROL_/), remedy: expect.any(String) });
    expect(problem["type"]).toBe(`urn:sluice:fault:${String(problem["code"])}`);
  });

  it("gets no details of what broke inside", async () => {
    await using opened = await openControl();
    opened.source.broken = new Error("secret inside");
    const answer = await opened.ask("/api/v1/status");
    expect(answer.status).toBe(500);
    const text = await answer.text();
    expect(text).toContain("CONTROL_BROKEN");
    expect(text).not.toContain("secret inside");
  });
});

describe("while the journal cannot be written", () => {
  it.each([
    ["POST", "/api/v1/handlers/overheat/promote"],
    ["POST", "/api/v1/handlers/overheat/rollback"],
    ["DELETE", "/api/v1/handlers/overheat"],
    ["DELETE", "/api/v1/handlers/overheat/state?key=a"],
    ["POST", "/api/v1/dead/d000001/redrive"],
    ["DELETE", "/api/v1/dead/d000001"],
  ])("%s %s is refused at once, and changes nothing", async (method, path) => {
    await using opened = await openControl();
    opened.source.refusal = new Fault("JOURNAL_UNWRITABLE", "the journal cannot write to its disk");
    opened.source.letters = [deadLetter(1)];
    opened.source.remembered.set("a", "1");
    const answer = await opened.ask(path, { method, ...(method === "POST" ? jsonBody({}) : {}) });
    expect([answer.status, answer.headers.get("retry-after")]).toEqual([503, "1"]);
    expect(await answer.json()).toMatchObject({ code: "JOURNAL_UNWRITABLE" });
    expect([opened.source.asked, opened.source.letters.length, opened.source.remembered.size]).toEqual([[], 1, 1]);
    expect((await opened.ask("/api/v1/status")).status).toBe(200);
  });
});

describe("limits (C4)", () => {
  it("a client that never ends its request is cut off after requestTimeout, and closing does not wait for it (C6)", async () => {
    await using opened = await openControl({ limits: { requestTimeout: "200ms" } });
    const socket = connect(Number(new URL(opened.control.url).port), "127.0.0.1");
    await once(socket, "connect");
    socket.write("GET /livez HTTP/1.1\r\nHost: localhost\r\n");
    const started = performance.now();
    await opened.control.close(100);
    expect(performance.now() - started).toBeLessThan(2000);
    socket.destroy();
  });
});

describe("the API's description", () => {
  it("has every route with an operation id, and every path parameter", async () => {
    await using opened = await openControl();
    const api = (await (await opened.ask("/api/v1/openapi.json")).json()) as {
      openapi: string;
      paths: Record<
        string,
        Record<string, { operationId: string; parameters: { name: string; in: string }[]; responses: object }>
      >;
    };
    expect(api.openapi).toBe("3.1.0");
    const operations = Object.entries(api.paths).flatMap(([path, of]) =>
      Object.entries(of).map(([method, op]) => ({ path, method, op })),
    );
    expect(operations.map(({ path, method }) => `${method} ${path}`).sort()).toEqual([
      "delete /api/v1/dead/{id}",
      "delete /api/v1/handlers/{name}",
      "delete /api/v1/handlers/{name}/replays/{id}",
      "delete /api/v1/handlers/{name}/state",
      "delete /api/v1/handlers/{name}/tasks",
      "get /api/v1/dead",
      "get /api/v1/dead/{id}",
      "get /api/v1/handlers",
      "get /api/v1/handlers/{name}/replays",
      "get /api/v1/handlers/{name}/replays/{id}",
      "get /api/v1/handlers/{name}/state",
      "get /api/v1/handlers/{name}/states",
      "get /api/v1/handlers/{name}/versions",
      "get /api/v1/openapi.json",
      "get /api/v1/status",
      "get /api/v1/stream",
      "get /livez",
      "get /metrics",
      "get /readyz",
      "post /api/v1/dead/drop",
      "post /api/v1/dead/redrive",
      "post /api/v1/dead/{id}/redrive",
      "post /api/v1/handlers/{name}/promote",
      "post /api/v1/handlers/{name}/replays",
      "post /api/v1/handlers/{name}/replays/{id}/resume",
      "post /api/v1/handlers/{name}/rollback",
      "post /api/v1/handlers/{name}/versions",
      "post /hooks/{path}",
    ]);
    expect(new Set(operations.map(({ op }) => op.operationId)).size).toBe(operations.length);
    for (const { path, op } of operations) {
      const named = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      expect(op.parameters.filter((of) => of.in === "path").map((of) => of.name)).toEqual(named);
      expect(Object.keys(op.responses)).toEqual([path.startsWith("/hooks/") ? "202" : "200", "default"]);
    }
  });
});
