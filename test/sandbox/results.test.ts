import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { BATCH_TASKS_MAX } from "../../src/sandbox/wire.ts";
import { bundle, loadAll, openSandbox, run, runOn, shortly, task } from "./opened.ts";
import type { Opened } from "./opened.ts";

let opened: Opened;
// Long slices: on a busy box the largest batch would have several.
beforeAll(async () => (opened = await openSandbox({ runners: 2, slice: "5s" })));
afterAll(() => opened.sandbox.close());

const done = (...outputs: string[]): string[] => outputs;

describe("a handler's result", () => {
  it.each([
    ["return undefined", []],
    ["return null", []],
    ["return { a: 1 }", ['{"a":1}']],
    ["return 'text'", ['"text"']],
    ["return 0", ["0"]],
    ["return false", ["false"]],
    ["return NaN", ["null"]],
    ["return [1, undefined, { b: [2] }, null]", ["1", '{"b":[2]}']],
    ["return []", []],
    ["return new Uint8Array([104, 105])", ["hi"]],
    ["return Promise.resolve(3)", ["3"]],
    ["return (async () => { await null; return [1, 2]; })()", ["1", "2"]],
    ["return { then: (settle) => settle(7) }", ["7"]],
    ["ctx.emit(1); ctx.emit({ x: 2 }); return 3", ["1", '{"x":2}', "3"]],
    ["const { emit } = ctx; [1, 2].forEach((n) => emit(n))", ["1", "2"]],
    // Whatever JSON has something of, and what is empty indeed.
    ["return {}", ["{}"]],
    ["return [Object.create(null), {}]", ["{}", "{}"]],
    ["return new (class { toJSON() { return {}; } })()", ["{}"]],
    ["return new (class Reading { c = 1; })()", ['{"c":1}']],
    ["return new Date(0)", ['"1970-01-01T00:00:00.000Z"']],
    ["return { nested: new Map([[1, 2]]) }", ['{"nested":{}}']],
    ["return new Proxy({}, {})", ["{}"]],
    ["return { text: 'line\\nbreak \\u2028 ü 🚰' }", ['{"text":"line\\nbreak \u2028 ü 🚰"}']],
  ])("%s comes out as %j", async (body, outputs) => {
    expect(shortly(await runOn(opened.sandbox, body))).toEqual([done(...outputs)]);
  });

  it("ctx.emit says where an output goes, and what it is", async () => {
    const [result] = await runOn(
      opened.sandbox,
      "ctx.emit(1, { to: 'cloud', type: 't', subject: 's' }); ctx.emit(2, { to: ['a', 'b'] })",
    );
    expect(result).toMatchObject({
      at: "done",
      outputs: [
        { to: ["cloud"], type: "t", subject: "s", json: true },
        { to: ["a", "b"], json: true },
      ],
    });
  });

  it("ctx.publish sends text and bytes as they are, and values as JSON", async () => {
    const body =
      "ctx.publish('x/y', 'ü'); ctx.publish('x', new Uint8Array([0, 10, 255]), { qos: 1, retain: true }); ctx.publish('z', { a: 1 })";
    const [result] = await runOn(opened.sandbox, body);
    if (result?.at !== "done") throw new Error(JSON.stringify(result));
    expect(result.outputs.map(({ data, json, publish }) => ({ bytes: [...data], json, publish }))).toEqual([
      { bytes: [...Buffer.from("ü")], json: false, publish: { topic: "x/y", qos: 0, retain: false } },
      { bytes: [0, 10, 255], json: false, publish: { topic: "x", qos: 1, retain: true } },
      { bytes: [...Buffer.from('{"a":1}')], json: true, publish: { topic: "z", qos: 0, retain: false } },
    ]);
  });

  it("belongs to its task, also in the largest batch there can be", async () => {
    const handler = bundle("return event.data.n");
    await loadAll(opened.sandbox, handler);
    const batch = Array.from({ length: BATCH_TASKS_MAX }, (_, n) =>
      task(handler.id, { seq: n, payload: Buffer.from(JSON.stringify({ n })) }),
    );
    const { results, version } = await run(opened.sandbox, handler.id, batch, [], 1);
    expect(version).toBe(1);
    expect(shortly(results)).toEqual(batch.map(({ seq }) => [String(seq)]));
  });
});

describe("what a handler sees", () => {
  it("the event bears the names of CloudEvents and of MQTT", async () => {
    const handler = bundle("return [event, event.bytes, Object.isFrozen(event.params)]", {
      settings: { topics: ["x/#", "plant/{line}/{machine}/#"] },
    });
    await loadAll(opened.sandbox, handler);
    const given = {
      topic: "plant/7/größe/t",
      device: "dév",
      seq: 2 ** 40,
      qos: 2,
      retain: true,
      payload: Buffer.from('{"c":1}'),
    } as const;
    const { results } = await run(opened.sandbox, handler.id, [task(handler.id, given)]);
    const [event, bytes, frozen] = shortly(results)[0] as string[] as [string, string, string];
    expect(JSON.parse(event)).toEqual({
      specversion: "1.0",
      id: `0123abcd-${(2 ** 40).toString(36)}`,
      source: "//edge-1/dév",
      type: "sluice.mqtt.publish",
      subject: "plant/7/größe/t",
      time: "2023-11-14T22:13:20.000Z",
      datacontenttype: "application/json",
      data: { c: 1 },
      topic: "plant/7/größe/t",
      params: { line: "7", machine: "größe" },
      device: "dév",
      qos: 2,
      retain: true,
    });
    expect([bytes, frozen]).toEqual(['{"c":1}', "true"]);
  });

  it("the context tells handler, version, try and frozen params", async () => {
    const handler = bundle(
      "ctx.params.deep.x = 2; return [ctx.handler, ctx.version, ctx.attempt, ctx.params, ctx.signal.aborted]",
      {
        version: 42,
        settings: { params: { deep: { x: 1 } } },
      },
    );
    await loadAll(opened.sandbox, handler);
    const { results } = await run(opened.sandbox, handler.id, [task(handler.id, { attempt: 2 })]);
    expect(shortly(results)[0]).toEqual([`"${handler.name}"`, "42", "3", '{"deep":{"x":1}}', "false"]);
  });

  it("log lines come with level and task, console included", async () => {
    opened.logs.length = 0;
    await runOn(opened.sandbox, "ctx.log.warn('hot', { c: 1 }, 2); console.log('x'); throw new Error('after')");
    expect(opened.logs.map(({ level, message, seq }) => [level, message, seq])).toEqual([
      ["warn", 'hot {"c":1} 2', 0],
      ["info", "x", 0],
    ]);
  });

  it("patched built-ins change nothing of what comes out", async () => {
    const body = `
      JSON.stringify = () => "broken"; JSON.parse = () => 0; Array.prototype.join = () => ""; String.prototype.substring = () => "";
      RegExp.prototype.exec = () => null; Object.prototype.toJSON = () => "lies"; Map.prototype.get = () => 1; Date.now = () => 0;
      ctx.emit({ never: "told" }, { subject: "s" });
      return 5`;
    const results = await runOn(opened.sandbox, body, ["{}", "{}"]);
    expect(shortly(results)).toEqual([
      ['"lies"', "5"],
      ['"lies"', "5"],
    ]);
  });
});

describe("state", () => {
  const count = "ctx.state.n = (ctx.state.n ?? 0) + 1; return ctx.state.n";

  it("is carried from task to task of a key, and no further", async () => {
    const handler = bundle(count);
    await loadAll(opened.sandbox, handler);
    const batch = ["a", "b", "a", "a", "b"].map((key, seq) => task(handler.id, { key, seq }));
    const { results } = await run(opened.sandbox, handler.id, batch, ['{"n":10}', undefined]);
    expect(shortly(results)).toEqual([["11"], ["1"], ["12"], ["13"], ["2"]]);
    expect(results.map((result) => result.at === "done" && result.state)).toEqual([
      '{"n":11}',
      '{"n":1}',
      '{"n":12}',
      '{"n":13}',
      '{"n":2}',
    ]);
  });

  it("comes back only when it changed, and empty when it was removed", async () => {
    const states = async (body: string, state?: string): Promise<unknown> => {
      const handler = bundle(body);
      await loadAll(opened.sandbox, handler);
      const { results } = await run(opened.sandbox, handler.id, [task(handler.id)], [state]);
      return results[0]?.at === "done" ? results[0].state : results[0];
    };
    expect(await states("return 1", '{"n":1}')).toBeUndefined();
    expect(await states("return ctx.state.n", '{"n":1}')).toBeUndefined();
    expect(await states("ctx.state.x", undefined)).toBeUndefined();
    expect(await states("delete ctx.state.n", '{"n":1}')).toBe("");
    expect(await states("ctx.state = undefined", '{"n":1}')).toBe("");
    expect(await states("ctx.state = { ü: '🚰' }", '{"n":"ö"}')).toBe('{"ü":"🚰"}');
  });

  it("of a task that failed is what it was, and those behind it have not run", async () => {
    const handler = bundle(
      "ctx.state.n = (ctx.state.n ?? 0) + 1; ctx.emit(1); if (event.data.fail) throw new Error('no'); return ctx.state.n",
    );
    await loadAll(opened.sandbox, handler);
    const fail = Buffer.from('{"fail":true}');
    const batch = [
      task(handler.id, { key: "a" }),
      task(handler.id, { key: "a", payload: fail }),
      task(handler.id, { key: "a" }),
      task(handler.id, { key: "b" }),
    ];
    const { results } = await run(opened.sandbox, handler.id, batch);
    expect(shortly(results)).toEqual([["1", "1"], "HANDLER_THREW", "behind", ["1", "1"]]);
  });
});
