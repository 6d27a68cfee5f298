/** An isolate that nothing runs in is given up, and nobody notices but who counts megabytes. */
import { readFileSync } from "node:fs";
import { afterEach, expect, it } from "vitest";
import { bundle, loadAll, openSandbox, run, shortly, task } from "./opened.ts";
import type { Opened } from "./opened.ts";

const HANDLERS = 40;
let opened: Opened;

afterEach(() => opened.sandbox.close());

const residentMb = (): number =>
  (Number(readFileSync(`/proc/${opened.sandbox.pids[0]}/statm`, "utf8").split(" ")[1]) * 4096) / 2 ** 20;

it("an isolate is given up after `idle`, its memory comes back, and the next event builds a new one", async () => {
  // Long enough for all of them to be loaded on a busy box: one that was given up meanwhile would be counted twice.
  opened = await openSandbox({ idle: "5s" });
  const { sandbox } = opened;
  const code =
    "let calls = 0; module.exports.default = (event, ctx) => [++calls, (ctx.state.n = (ctx.state.n ?? 0) + 1)];";
  const handlers = Array.from({ length: HANDLERS }, () => bundle("", { code }));
  await loadAll(sandbox, ...handlers);
  const [first] = handlers as [(typeof handlers)[0]];
  const twice = await run(sandbox, first.id, [task(first.id, { seq: 1 }), task(first.id, { seq: 2 })]);
  expect(shortly(twice.results)[1]).toEqual(["2", "2"]);
  const before = residentMb();
  // The first one ran last of all, so it goes last.
  await expect.poll(() => sandbox.figures().isolatesRested, { timeout: 15_000 }).toBe(HANDLERS);
  await expect.poll(() => before - residentMb(), { timeout: 10_000 }).toBeGreaterThan(HANDLERS / 4);
  const { results } = await run(sandbox, first.id, [task(first.id, { seq: 3 })], ['{"n":2}']);
  // The module starts anew; the state goes on.
  expect(shortly(results)).toEqual([["1", "3"]]);
});

it("an isolate that is used stays", async () => {
  opened = await openSandbox({ idle: "1500ms" });
  const { sandbox } = opened;
  const handler = bundle("", { code: "let calls = 0; module.exports.default = () => ++calls;" });
  await loadAll(sandbox, handler);
  const startMs = performance.now();
  let calls = 0;
  while (performance.now() - startMs < 3500) {
    const { results } = await run(sandbox, handler.id, [task(handler.id, { seq: ++calls })]);
    expect(shortly(results)).toEqual([[String(calls)]]);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
});
