/** Secrets: a handler has those that were granted, and what it says of them by accident is taken out in the gateway. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createLog } from "../../src/log.ts";
import { redaction } from "../../src/sandbox/redaction.ts";
import { FRAME_KINDS } from "../../src/sandbox/wire.ts";
import { bundle, loadAll, openSandbox, patient, run, runOn, shortly, task } from "./opened.ts";
import type { Opened } from "./opened.ts";

const KEY = 's3cr"et\n-key/ä';
const settings = {
  secrets: { apiKey: KEY, other: "0123456789abcdef" },
  timeoutMs: 5000,
  limits: { logCharsMax: 1024 },
};

let opened: Opened;
beforeAll(async () => (opened = await openSandbox()));
afterAll(() => opened.sandbox.close());

const first = async (body: string): Promise<unknown> => (await runOn(opened.sandbox, body, ["{}"], { settings }))[0];

describe("ctx.secrets", () => {
  it("has those that were granted and no others, and cannot be changed", async () => {
    const body = `"use strict";
      let thrown = 0;
      for (const deed of [() => { ctx.secrets.apiKey = 1 }, () => { ctx.secrets.more = 1 }, () => { delete ctx.secrets.other }])
        try { deed() } catch { thrown++ }
      return [[Object.keys(ctx.secrets), ctx.secrets.apiKey.length, ctx.secrets.none === undefined, "toString" in ctx.secrets, thrown]]`;
    expect(shortly(await runOn(opened.sandbox, body, ["{}"], { settings }))).toEqual([
      [JSON.stringify([["apiKey", "other"], KEY.length, true, false, 3])],
    ]);
    expect(shortly(await runOn(opened.sandbox, "return Object.keys(ctx.secrets).length"))).toEqual([["0"]]);
  });

  it("are not there while the module is loaded, so that its config cannot have one", async () => {
    const code = "module.exports.config = { seen: typeof ctx }; module.exports.default = () => 1;";
    const loaded = await opened.sandbox.inspect(bundle("", { code, settings }));
    expect(loaded).toEqual({ at: "ready", config: { seen: "undefined" } });
  });
});

describe("a secret is not told by", () => {
  const said = async (body: string): Promise<string> => {
    const from = opened.logs.length;
    const result = await first(body);
    return JSON.stringify([result, opened.logs.slice(from).map(({ message }) => message)]);
  };

  it.each([
    ["a log line", "ctx.log.info('key is ' + ctx.secrets.apiKey)"],
    ["an object that is logged", "console.log({ headers: { authorization: ctx.secrets.apiKey } })"],
    ["an error that is logged", "ctx.log.error(new Error(ctx.secrets.apiKey))"],
    ["an address", "ctx.log.info('https://a.example/?key=' + encodeURIComponent(ctx.secrets.apiKey))"],
    ["a failure and its stack", "throw new Error('no access with ' + ctx.secrets.apiKey)"],
    ["a thrown text", "throw ctx.secrets.apiKey"],
    ["a thrown object", "throw { key: ctx.secrets.apiKey }"],
    ["a dead letter", "throw new DeadLetter('no access with ' + ctx.secrets.apiKey)"],
    ["a rejection that nobody handles", "Promise.reject(new Error(ctx.secrets.apiKey))"],
    ["the name of an error", "const e = new Error('m'); e.name = ctx.secrets.apiKey; throw e"],
    ["an uplink's name", "ctx.emit(1, { to: ctx.secrets.apiKey })"],
    ["a topic that is refused", "ctx.publish('#' + ctx.secrets.apiKey, 1)"],
    ["several at once", "ctx.log.info(ctx.secrets.apiKey + ctx.secrets.other + ctx.secrets.apiKey)"],
  ])("%s", async (_, body) => {
    const text = await said(body);
    expect(text).toContain("[secret apiKey]");
    for (const piece of ["s3cr", "-key", "9abcdef"]) expect(text).not.toContain(piece);
  });

  it.each([1, 4, 8, 12])("a log line that is cut off %i characters into it", async (chars) => {
    const text = await said(`ctx.log.info("x".repeat(${1024 - chars}) + ctx.secrets.other)`);
    expect(text).toContain("x".repeat(1000));
    expect(text).not.toContain("0123");
  });

  it("a message that is cut off within it", async () => {
    expect(await said(`throw new Error("x".repeat(990) + ctx.secrets.other)`)).not.toContain("0123");
  });

  it("what a runner writes while it dies", async () => {
    const lines: string[] = [];
    const log = createLog({ level: "silent", pretty: false });
    log.warn = (fields: unknown) => void lines.push(JSON.stringify(fields));
    const stdin = `
      import { Socket } from "node:net";
      const channel = new Socket({ fd: 3, readable: true, writable: true });
      const say = (kind, id, text) => {
        const head = Buffer.alloc(9);
        head.writeUInt32BE(text.length + 5, 0);
        head[4] = ${JSON.stringify(FRAME_KINDS)}.indexOf(kind);
        head.writeUInt32BE(id, 5);
        channel.write(Buffer.concat([head, Buffer.from(text)]));
      };
      channel.on("data", (chunk) => {
        const text = chunk.toString("latin1");
        if (text.includes("guestCode")) return say("ready", 0, "null");
        if (text.includes("bundle")) return say("loaded", chunk.readUInt32BE(5), '{"at":"ready","config":"{}"}');
        process.stderr.write("0123456789abcdef", () => process.exit(1));
      });`;
    const dying = await openSandbox({}, { log, command: { args: ["--input-type=module", "-"], stdin, guestCode: "" } });
    const handler = bundle("", { settings });
    await loadAll(dying.sandbox, handler);
    expect(shortly((await run(dying.sandbox, handler.id, [task(handler.id)])).results)).toEqual(["crashed"]);
    await expect.poll(() => lines.join(), patient).toContain("[secret other]");
    expect(lines.join()).not.toContain("0123");
    await dying.sandbox.close();
  });
});

describe("redaction()", () => {
  it("changes nothing where there is no secret", () => {
    expect(redaction({}, 1024)("a text")).toBe("a text");
    expect(redaction({ a: "secret" }, 1024)("a text that ends with secre")).toBe("a text that ends with secre");
  });

  it("takes the longer one of two that begin alike, and characters as they are", () => {
    const redact = redaction({ short: "abcd", long: "abcdef", odd: "a.c(d)[$1]" }, 1024);
    expect(redact("abcdef abcd abxd a.c(d)[$1] axc(d)[$1]")).toBe(
      "[secret long] [secret short] abxd [secret odd] axc(d)[$1]",
    );
  });

  it("survives a secret with half a pair of surrogates, and one that is a name of something", () => {
    expect(redaction({ constructor: "\ud800abc" }, 1024)("x\ud800abcy")).toBe("x[secret constructor]y");
  });
});
