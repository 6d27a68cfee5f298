import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { keptBundle } from "../src/kept-bundle.ts";

let folder = "";
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "sluice-kept-"))));
afterEach(() => rmSync(folder, { recursive: true }));

/** What was written a moment ago is a minute old by this clock. */
const later = (): number => Date.now() + 60_000;

function make(options: object = {}, now = later): Promise<string> {
  return keptBundle("x", join(folder, "entry.ts"), { bundle: true, format: "esm", ...options }, { folder, now });
}

const kept = (): string => join(folder, "x.bundle.json");

/** Says that it is the one that was kept, to whoever gets it. */
function sign(change: object = {}): void {
  const { createHash } = process.getBuiltinModule("node:crypto");
  const code = "the one that was kept";
  const digest = createHash("sha256").update(code).digest("hex");
  writeFileSync(kept(), JSON.stringify({ ...JSON.parse(readFileSync(kept(), "utf8")), code, digest, ...change }));
}

describe("a bundle of our own sources", () => {
  beforeEach(() => {
    writeFileSync(join(folder, "part.ts"), "export const part: number = 1;");
    writeFileSync(join(folder, "entry.ts"), 'import { part } from "./part.ts"; console.log(part + 1);');
  });

  it("is kept, and used while its sources look as they did; what a start that died left goes", async () => {
    writeFileSync(`${kept()}.new`, '{"by":');
    expect(await make()).toContain("part + 1");
    sign();
    expect(await make()).toBe("the one that was kept");
    expect(readdirSync(folder).toSorted()).toEqual(["entry.ts", "part.ts", "x.bundle.json"]);
  });

  it("is made again when one of its sources has changed", async () => {
    await make();
    sign();
    writeFileSync(join(folder, "part.ts"), "export const part: number = 7;");
    expect(await make()).toContain("part = 7");
  });

  it("is made again when it would be made another way", async () => {
    await make();
    sign();
    expect(await make({ minify: true })).toMatch(/console\.log\(/);
  });

  it("is made again when what was kept is damaged", async () => {
    await make();
    sign({ digest: "another" });
    expect(await make()).toContain("part + 1");
    writeFileSync(kept(), '{"by":');
    expect(await make()).toContain("part + 1");
  });

  it("is not kept when its sources have just been written: they may be written again", async () => {
    await make({}, Date.now);
    expect(readdirSync(folder)).not.toContain("x.bundle.json");
  });

  it("is made where nothing can be kept", async () => {
    const nowhere = join(folder, "nothing", "there");
    const options = { folder: nowhere, now: later };
    expect(await keptBundle("x", join(folder, "entry.ts"), { bundle: true }, options)).toContain("part + 1");
    chmodSync(folder, 0o500);
    expect(await make()).toContain("part + 1");
    chmodSync(folder, 0o700);
  });
});
