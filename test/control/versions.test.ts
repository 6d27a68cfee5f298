import { describe, expect, it } from "vitest";
import * as shapes from "../../src/control/version-shapes.ts";
import { openControl } from "./opened.ts";
import type { Opened } from "./opened.ts";

const post = (opened: Opened, path: string, body: object): Promise<Response> =>
  opened.ask(`/api/v1/handlers/overheat/${path}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
const bundle = { code: "module.exports = 1;", sourceMap: "{}", file: "handlers/overheat.ts" };

describe("a handler's versions", () => {
  it("have the shape that the description gives, and are 404 where nothing is live", async () => {
    await using opened = await openControl();
    const answer = await opened.ask("/api/v1/handlers/overheat/versions");
    expect(shapes.versions.strict().parse(await answer.json())).toMatchObject({ live: { version: 2 }, before: 1 });
    const gone = await opened.ask("/api/v1/handlers/nobody/versions");
    expect([gone.status, await gone.json()]).toEqual([404, expect.objectContaining({ code: "CONTROL_NOT_FOUND" })]);
  });

  it("are deployed: live, on a share of the keys, or as a shadow", async () => {
    await using opened = await openControl();
    const at = async (more: object): Promise<unknown> =>
      ((await (await post(opened, "versions", { ...bundle, ...more })).json()) as { at: unknown }).at;
    expect(await at({ message: "why" })).toBe("live");
    expect(await at({ canary: 0.1, author: "ada" })).toBe("canary");
    expect(await at({ shadow: true })).toBe("shadow");
    expect(opened.source.asked).toMatchObject([
      { name: "overheat", ...bundle, share: undefined, message: "why" },
      { share: 0.1, author: "ada" },
      { share: 0 },
    ]);
  });

  it("may be large where they are deployed, and nowhere else", async () => {
    await using opened = await openControl();
    const code = "x".repeat(4 * 1024 * 1024);
    expect((await post(opened, "versions", { ...bundle, code })).status).toBe(200);
    expect((await post(opened, "promote", { message: code })).status).toBe(413);
  });

  it.each([
    ["nothing", {}],
    ["no share", { ...bundle, canary: 0 }],
    ["more than all", { ...bundle, canary: 1.5 }],
    ["both at once", { ...bundle, canary: 0.5, shadow: true }],
    ["a setting that there is not", { ...bundle, live: true }],
    ["a message without end", { ...bundle, message: "x".repeat(1001) }],
  ])("with %s are refused", async (_, body) => {
    await using opened = await openControl();
    const answer = await post(opened, "versions", body);
    expect([answer.status, await answer.json()]).toEqual([400, expect.objectContaining({ code: "CONTROL_REQUEST" })]);
    expect(opened.source.asked).toEqual([]);
  });

  it("are promoted, rolled back and taken out of service", async () => {
    await using opened = await openControl();
    expect(await (await post(opened, "promote", { message: "fine" })).json()).toMatchObject({ version: 3, at: "live" });
    expect(await (await post(opened, "rollback", { version: 1 })).json()).toMatchObject({ version: 1 });
    expect(await (await post(opened, "rollback", {})).json()).toMatchObject({ at: "live" });
    const removed = await opened.ask("/api/v1/handlers/overheat?author=ada", { method: "DELETE" });
    expect(await removed.json()).toEqual({ waiting: 4 });
    expect(opened.source.asked).toEqual([
      ["promote", "overheat", { message: "fine" }],
      ["rollBack", "overheat", { version: 1 }],
      ["rollBack", "overheat", {}],
      ["remove", "overheat", { author: "ada" }],
    ]);
  });
});
