import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const DEMO = fileURLToPath(new URL("../../demo/demo.ts", import.meta.url));

describe("npm run demo", () => {
  it("plays its story in under a minute, loses nothing, and says so in figures", async () => {
    const demo = spawn(process.execPath, [DEMO, "--json"], { stdio: ["ignore", "pipe", "pipe"] });
    const [out, told] = await Promise.all([text(demo.stdout), text(demo.stderr), once(demo, "close")]);
    const ending = JSON.parse(out) as { figures: Record<string, number>; [more: string]: unknown };
    expect(ending, told).toMatchObject({ holds: true, balances: true, wrongs: [], kills: 5 });
    expect(demo.exitCode).toBe(0);
    expect(ending.figures).toMatchObject({ lost: 0, duplicated: 0 });
    expect(ending.figures.acknowledged).toBeGreaterThan(5_000);
    expect(ending.figures.unique).toBe(ending.figures.journaled);
    expect(ending.seconds).toBeLessThan(60);
    // Plain lines where nobody looks: no colours, nothing that moves.
    expect(told).not.toContain("\u001B");
  });
});
