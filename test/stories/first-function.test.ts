/** From `sluice init` to a changed output after an edit, by the commands that the README has under "A function of your own". */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { until } from "./rig/wait.ts";

const README = new URL("../../README.md", import.meta.url);
const SLUICE = `${process.execPath} ${fileURLToPath(new URL("../../bin/sluice.js", import.meta.url))}`;

/** The lines of the section's block for a shell. In a folder of the test's, `npx sluice` is this checkout's. */
function commands(): string[] {
  const readme = readFileSync(README, "utf8");
  const section = readme.slice(readme.indexOf("\n## A function of your own\n"));
  const block = /```sh\n([^]*?)```/.exec(section)?.[1] ?? "";
  return block
    .split("\n")
    .map((line) => line.replace(/\s+#.*$/, "").replaceAll("npx sluice", SLUICE))
    .filter((line) => line !== "");
}

async function freePort(): Promise<number> {
  const server = createServer();
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

describe("somebody who reads the README", () => {
  it("has a function of their own, tested and running, and sees the output change when they save it", async () => {
    const folder = mkdtempSync(join(tmpdir(), "sluice-readme-"));
    const read = (file: string): string => readFileSync(join(folder, file), "utf8");
    const [init = "", ...rest] = commands();
    const dev = rest.pop() ?? "";
    expect(dev).toMatch(/ dev --sim$/);
    expect(rest.length).toBeGreaterThanOrEqual(4);
    const env = { ...process.env, NO_COLOR: "1" };
    execFileSync("bash", ["-ec", init], { cwd: folder, env, stdio: "pipe" });

    // Somebody else may have the usual ports here.
    const config = read("edge/config/sluice.yaml");
    const moved = config.replace(":1883", `:${await freePort()}`).replace(":8080", `:${await freePort()}`);
    writeFileSync(join(folder, "edge/config/sluice.yaml"), moved);

    const out = execFileSync("bash", ["-ec", rest.join("\n")], { cwd: folder, env, stdio: "pipe" }).toString();
    expect(out).toContain("2 passed");
    expect(out).toContain('→ cloud  {"machine":"press","c":91.5,"count":1}');
    expect(out).toContain("✓ the handlers' types");

    const settings = rest.find((line) => line.startsWith("export ")) ?? "";
    const gateway = spawn("bash", ["-ec", `${settings}\nexec ${dev}`], { cwd: folder, env, stdio: "pipe" });
    const ended = once(gateway, "close");
    let said = "";
    gateway.stderr.on("data", (chunk: Buffer) => (said += chunk.toString()));
    try {
      const lines = (): { data: Record<string, unknown> }[] =>
        read("edge/data/cloud.ndjson")
          .split("\n")
          .slice(0, -1)
          .map((line) => JSON.parse(line) as { data: Record<string, unknown> });
      const patient = { withinMs: 60_000 };
      const first = await until("an output", () => lines()[0], patient);
      expect(first.data).not.toHaveProperty("tooHotBy");
      const handler = read("edge/handlers/overheat.ts");
      const changed = handler.replace("return { machine:", "return { tooHotBy: c - ctx.params.limit, machine:");
      expect(changed).not.toBe(handler);
      writeFileSync(join(folder, "edge/handlers/overheat.ts"), changed);
      const after = await until("another output", () => lines().find(({ data }) => "tooHotBy" in data), patient);
      expect(after.data["tooHotBy"]).toBeGreaterThan(0);
    } catch (error) {
      throw new Error(`it said:\n${said}`, { cause: error });
    } finally {
      gateway.kill("SIGTERM");
      const [code] = (await ended) as [number];
      rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
      expect(code).toBe(0);
    }
  });
});
