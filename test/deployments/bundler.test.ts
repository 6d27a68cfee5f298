/** esbuild's process, which all builds share: none is lost when it ends. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Plugin } from "esbuild";
import { describe, expect, it } from "vitest";
import { bundle } from "../../src/bundler.ts";

/** A build of one line that takes at least so long. */
function slow(ms: number, signal?: AbortSignal): Promise<string> {
  const plugin: Plugin = {
    name: "slow",
    setup: (on) =>
      on.onResolve({ filter: /./ }, async () => {
        await sleep(ms);
        return { path: "x", external: true };
      }),
  };
  const stdin = { contents: 'import "x"; one();' };
  const built = bundle({ stdin, bundle: true, write: false, logLevel: "silent", plugins: [plugin] }, signal);
  return built.then(({ outputFiles }) => outputFiles[0]?.text ?? "");
}

describe("a build", () => {
  it("that shares the process with one that is given up comes to its end all the same", async () => {
    const giveUp = new AbortController();
    const lost = slow(60_000, giveUp.signal);
    const kept = [slow(300), slow(10)];
    await sleep(150);
    giveUp.abort(new Error("given up"));
    await expect(lost).rejects.toThrow("given up");
    for (const text of await Promise.all(kept)) expect(text).toContain("one();");
  });

  it("that takes longer than the process may idle after another one has ended is not lost", async () => {
    const long = slow(2600);
    expect(await slow(0)).toContain("one();");
    expect(await long).toContain("one();");
  });

  it("with a signal that has aborted is not begun", async () => {
    await expect(slow(0, AbortSignal.abort(new Error("before")))).rejects.toThrow("before");
  });
});
