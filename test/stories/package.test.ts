/** The package, as `npm pack` makes it and another folder has it below node_modules, where Node strips no types. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { freePort } from "./rig/ports.ts";
import { until } from "./rig/wait.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));

const OWN_TEST = `
import { openHandler } from "sluice/testing";
import type { OpenedHandler } from "sluice/testing";

const overheat: OpenedHandler = await openHandler("handlers/overheat.ts", { params: { limit: 85 } });
const run = await overheat.send("plant/a/press-7/temperature", { c: 91 });
await overheat.close();
console.log(JSON.stringify(run.outputs.map(({ data }) => data)));
`;

describe("the package, installed in another folder", () => {
  let folder: string;
  let project: string;
  const env = { ...process.env, NO_COLOR: "1" };
  const bin = (): string => join(folder, "node_modules/sluice/bin/sluice.js");
  const sluice = (...args: string[]): string =>
    execFileSync(process.execPath, [bin(), ...args], { cwd: project, env, stdio: "pipe" }).toString();

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "sluice-package-"));
    execFileSync("npm", ["pack", "--silent", "--pack-destination", folder], { cwd: root, env, stdio: "pipe" });
    const [tarball = ""] = readdirSync(folder);
    const installed = join(folder, "node_modules/sluice");
    mkdirSync(installed, { recursive: true });
    execFileSync("tar", ["-xzf", join(folder, tarball), "-C", installed, "--strip-components=1"]);
    // What npm would install for it is here already.
    for (const name of readdirSync(join(root, "node_modules"))) {
      if (!name.startsWith(".")) symlinkSync(join(root, "node_modules", name), join(folder, "node_modules", name));
    }
    project = join(folder, "edge");
    execFileSync(process.execPath, [bin(), "init", project], { cwd: folder, env, stdio: "pipe" });
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));

  it("leaves nothing behind in the checkout that a checkout would run from", () => {
    expect(existsSync(join(root, "lib"))).toBe(false);
  });

  it("has the pages that its README and its messages name", () => {
    const installed = dirname(dirname(bin()));
    const links = readFileSync(join(installed, "README.md"), "utf8").matchAll(/\]\(([^)#:]+)[^)]*\)/g);
    const missing = [...links].map(([, to = ""]) => to).filter((to) => !existsSync(join(installed, to)));
    expect(missing).toEqual([]);
  });

  it("runs cases and single events, and checks types, without a gateway", () => {
    expect(sluice("test")).toContain("2 passed");
    const out = sluice("invoke", "overheat", "-t", "plant/line-1/press/temperature", "-m", '{"c": 91.5}');
    expect(out).toContain('→ cloud  {"machine":"press","c":91.5,"count":1}');
    expect(sluice("types", "--check")).toContain("✓ the handlers' types");
  });

  it("has sluice/testing, with types that the template's settings accept", () => {
    mkdirSync(join(project, "test"));
    writeFileSync(join(project, "test/overheat.ts"), OWN_TEST);
    const settings = { extends: "./tsconfig.json", include: ["test"] };
    writeFileSync(join(project, "tsconfig.test.json"), JSON.stringify(settings));
    writeFileSync(join(project, "package.json"), JSON.stringify({ type: "module" }));
    const tsc = join(root, "node_modules/typescript/bin/tsc");
    const run = (...args: string[]): string =>
      execFileSync(process.execPath, args, { cwd: project, env, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
    expect(run(tsc, "-p", "tsconfig.test.json")).toBe("");
    expect(run("test/overheat.ts")).toBe('[{"machine":"press-7","c":91,"count":1}]\n');
  });

  it("runs a gateway that takes an event and a new version", async () => {
    const config = join(project, "config/sluice.yaml");
    const text = readFileSync(config, "utf8");
    writeFileSync(config, text.replace(":1883", `:${await freePort()}`).replace(":8080", `:${await freePort()}`));
    const gateway = spawn(process.execPath, [bin(), "dev"], { cwd: project, env, stdio: "pipe" });
    const ended = once(gateway, "close");
    let said = "";
    gateway.stderr.on("data", (chunk: Buffer) => (said += chunk.toString()));
    try {
      await until("a gateway that is ready", () => said.includes(" is ready"), { withinMs: 60_000 });
      const handler = readFileSync(join(project, "handlers/overheat.ts"), "utf8");
      writeFileSync(
        join(folder, "overheat.ts"),
        handler.replace("return { machine:", "return { packed: true, machine:"),
      );
      sluice("deploy", join(folder, "overheat.ts"), "-m", "from the package");
      sluice("pub", "-t", "plant/line-1/press/temperature", "-m", '{"c": 91.5}', "-q", "1");
      const sent = join(project, "data/cloud.ndjson");
      const line = await until("its output", () => existsSync(sent) && readFileSync(sent, "utf8"), {
        withinMs: 60_000,
      });
      expect(JSON.parse(line.split("\n")[0] ?? "")).toMatchObject({ sluiceversion: 2, data: { packed: true } });
      expect(sluice("versions", "overheat")).toContain("from the package");
    } catch (error) {
      throw new Error(`it said:\n${said}`, { cause: error });
    } finally {
      gateway.kill("SIGTERM");
      expect(await ended).toEqual([0, null]);
    }
  });
});
