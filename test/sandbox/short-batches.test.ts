/**
 * Short batches are run on the runner's own thread first, and abandoned there when they need longer: whatever they do, the
 * outcome is that of the second attempt, and other handlers in the runner do not notice.
 */
import { afterAll, beforeAll, expect, it } from "vitest";
import type { RunResult } from "../../src/sandbox/results.ts";
import { bundle, compute, loadAll, openSandbox, run, shortly, task } from "./opened.ts";
import type { BundleOptions, Opened } from "./opened.ts";

let opened: Opened;
beforeAll(async () => (opened = await openSandbox()));
afterAll(() => opened.sandbox.close());

interface Alone {
  readonly result: RunResult;
  /** What the handlers beside it came to, of batches sent before it, with it and after it. */
  readonly beside: unknown[];
  readonly isSameRunner: boolean;
}

/** Runs the handler once, alone in its batch, while another one in the same runner has work. */
async function alone(body: string, before: string, settings: BundleOptions["settings"] = {}): Promise<Alone> {
  const { sandbox } = opened;
  const code = `${before}\nmodule.exports.default = (event, ctx) => {\n${body}\n};`;
  const handler = bundle("", { code, settings: { timeoutMs: 1000, ...settings } });
  const other = bundle("ctx.state.n = (ctx.state.n ?? 0) + 1; return ctx.state.n");
  await loadAll(sandbox, handler, other);
  const [pid] = sandbox.pids;
  const runOther = (): ReturnType<typeof run> => run(sandbox, other.id, [task(other.id)], ['{"n":6}']);
  const running = [
    runOther(),
    run(sandbox, handler.id, [task(handler.id)], ['{"n":1}']),
    runOther(),
    runOther(),
  ] as const;
  const [first, own, ...others] = await Promise.all(running);
  const beside = [first, ...others, await runOther()].map(({ results }) => shortly(results));
  sandbox.unload(handler.id);
  sandbox.unload(other.id);
  const [result] = own.results;
  if (result === undefined) throw new Error("no result");
  return { result, beside, isSameRunner: sandbox.pids[0] === pid };
}

const unharmed = { beside: [[["7"]], [["7"]], [["7"]], [["7"]]], isSameRunner: true };

const outputs = (result: RunResult): unknown => shortly([result])[0];
const state = (result: RunResult): unknown => (result.at === "done" ? result.state : result.at);

it("one that answers at once has one answer", async () => {
  const { result, ...others } = await alone("ctx.state.n++; ctx.emit('e'); return 1", "");
  expect([outputs(result), state(result)]).toEqual([['"e"', "1"], '{"n":2}']);
  expect(others).toEqual(unharmed);
});

it("one that answers with a promise: what the first call did outside the module does not count", async () => {
  opened.logs.length = 0;
  const body = `return (async () => {
    calls++;
    ctx.state.n++;
    ctx.emit("before");
    ctx.log.info("before");
    await null;
    ctx.emit("after");
    ctx.log.info("after");
    return calls;
  })();`;
  const { result, ...others } = await alone(body, "let calls = 0;");
  // One call when the first attempt took its isolate with it, as it may on a busy machine.
  expect([outputs(result), state(result)]).toEqual([
    ['"before"', '"after"', expect.stringMatching(/^[12]$/)],
    '{"n":2}',
  ]);
  expect(opened.logs.map(({ message }) => message)).toEqual(["before", "after"]);
  expect(others).toEqual(unharmed);
});

it("one that rejects fails once", async () => {
  opened.logs.length = 0;
  const body = "return (async () => { ctx.log.info('here'); await null; throw new Error('late'); })()";
  const { result, ...others } = await alone(body, "");
  expect(result).toMatchObject({ at: "failed", failure: { code: "HANDLER_THREW", message: "Error: late" } });
  expect(opened.logs.map(({ message }) => message)).toEqual(["here"]);
  expect(others).toEqual(unharmed);
});

it("one that takes 50 ms has all its time, and its effects once", async () => {
  const body = `ctx.state.n++; ctx.emit('e'); ${compute(50)} return 1`;
  const { result, ...others } = await alone(body, "");
  expect([outputs(result), state(result)]).toEqual([['"e"', "1"], '{"n":2}']);
  expect(others).toEqual(unharmed);
});

it.each([
  ["that loops for ever", "for (;;);"],
  ["that loops for ever after it has waited", "return (async () => { await null; for (;;); })()"],
  ["that waits for ever", "return new Promise(() => {})"],
])("one %s is cut off after its timeout", async (_what, body) => {
  const { result, ...others } = await alone(`ctx.state.n++; ctx.emit('e'); ${body}`, "", { timeoutMs: 150 });
  expect(result).toMatchObject({ at: "failed", final: false, failure: { code: "SANDBOX_TIMEOUT" } });
  expect(others).toEqual(unharmed);
});

it.each([
  ["quickly", "for (;;) kept.push(new Array(1e6).fill(0));"],
  ["in buffers", "for (;;) kept.push(new Uint8Array(1 << 20).fill(1));"],
  ["slowly", "for (;;) kept.push(new Array(1000).fill({}));"],
])("one that exhausts its memory %s fails, and the next event has a new isolate", async (_how, body) => {
  const { result, ...others } = await alone(body, "const kept = [];", { timeoutMs: 5000, memoryBytes: 16 * 2 ** 20 });
  expect(outputs(result)).toMatch(/^(SANDBOX_MEMORY|HANDLER_THREW)$/);
  expect(others).toEqual(unharmed);
});

it("what waits in a batch of several: all are run again, and the state is handed on once", async () => {
  const { sandbox } = opened;
  const body =
    "ctx.state.n = (ctx.state.n ?? 0) + 1; return event.data === 2 ? Promise.resolve(ctx.state.n) : ctx.state.n";
  const handler = bundle(body);
  await loadAll(sandbox, handler);
  const batch = [1, 2, 3].map((seq) => task(handler.id, { seq, payload: Buffer.from(String(seq)) }));
  const { results } = await run(sandbox, handler.id, batch);
  expect(shortly(results)).toEqual([["1"], ["2"], ["3"]]);
  expect(results.map(state)).toEqual(['{"n":1}', '{"n":2}', '{"n":3}']);
});

it("one that cannot be stopped costs the runner: what was beside it is a suspect, and the next runner does it", async () => {
  const { sandbox } = await openSandbox();
  try {
    const stuck = bundle("Array(1e9).fill(0); return 1", { settings: { timeoutMs: 100, memoryBytes: 2 ** 26 } });
    const other = bundle("return 1");
    await loadAll(sandbox, stuck, other);
    const [own, beside] = await Promise.all([
      run(sandbox, stuck.id, [task(stuck.id)]),
      run(sandbox, other.id, [task(other.id)]),
    ]);
    expect(outputs(own.results[0] as RunResult)).toMatch(/^(crashed|SANDBOX_TIMEOUT|SANDBOX_MEMORY)$/);
    expect([["1"], "crashed", "unrun"]).toContainEqual(outputs(beside.results[0] as RunResult));
    expect(shortly((await run(sandbox, other.id, [task(other.id)])).results)).toEqual([["1"]]);
  } finally {
    await sandbox.close();
  }
});
