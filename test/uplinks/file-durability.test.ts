import { appendFile, mkdtemp, readFile, readdir, rename, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { MemoryOutbox } from "../doubles/memory-outbox.ts";
import { idOf, openUplink } from "./opened.ts";

async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "sluice-file-uplink-"));
  onTestFinished(() => rm(path, { recursive: true, force: true }));
  return path;
}

const linesOf = async (path: string): Promise<{ id: string; data?: unknown }[]> => {
  const text = await readFile(path, "utf8");
  if (text === "") return [];
  expect(text.endsWith("\n")).toBe(true);
  const lines = text.slice(0, -1).split("\n");
  return lines.map((line) => JSON.parse(line) as { id: string });
};

describe("a file uplink", () => {
  it("writes one line an output, in order, and receipts each", async () => {
    const path = await folder();
    const outbox = new MemoryOutbox();
    outbox.emitMany(2500);
    openUplink({ outbox, folder: path, settings: { kind: "file", path: "out/cloud.ndjson" } });
    await outbox.drained();
    const ids = (await linesOf(join(path, "out/cloud.ndjson"))).map(({ id }) => id);
    expect(ids).toEqual(outbox.entries.map(({ seq }) => idOf(outbox, seq)));
    expect(outbox.count("delivered")).toBe(2500);
  });

  it("rotates by size and keeps as many files as it is told", async () => {
    const path = await folder();
    const outbox = new MemoryOutbox();
    openUplink({ outbox, folder: path, settings: { kind: "file", path: "c.ndjson", maxSize: "4KB", keep: 2 } });
    for (let i = 0; i < 20; i++) {
      outbox.emitMany(5);
      await outbox.drained();
    }
    expect((await readdir(path)).sort()).toEqual(["c.ndjson", "c.ndjson.1", "c.ndjson.2"]);
    const ids: string[] = [];
    for (const name of ["c.ndjson.2", "c.ndjson.1", "c.ndjson"]) {
      const lines = await linesOf(join(path, name));
      ids.push(...lines.map(({ id }) => id));
    }
    expect(ids).toEqual(outbox.entries.slice(-ids.length).map(({ seq }) => idOf(outbox, seq)));
    expect(ids.length).toBeGreaterThan(20);
  });

  it("takes a line away that a crash cut short, at any byte", async () => {
    const path = await folder();
    const file = join(path, "c.ndjson");
    const settings = { kind: "file", path: "c.ndjson" };
    for (const cut of [1, 2, 17, 150]) {
      await rm(file, { force: true });
      const before = new MemoryOutbox();
      before.emitMany(3);
      const uplinks = openUplink({ outbox: before, folder: path, settings });
      await before.drained();
      await uplinks.close(1000);
      await truncate(file, (await readFile(file)).length - cut);

      const after = new MemoryOutbox();
      after.emitMany(2);
      const again = openUplink({ outbox: after, folder: path, settings });
      await after.drained();
      await again.close(1000);
      // Only a missing line feed leaves a whole line to keep.
      expect(await linesOf(file)).toHaveLength(cut === 1 ? 5 : 4);
    }
  });

  it("takes the first digits of a number that a crash cut short away as well: they are a number, and another one", async () => {
    const path = await folder();
    const file = join(path, "c.ndjson");
    await writeFile(file, '21\n"whole"\n12');
    const outbox = new MemoryOutbox();
    outbox.emitMany(1);
    openUplink({ outbox, folder: path, settings: { kind: "file", path: "c.ndjson", format: "raw" } });
    await outbox.drained();
    expect((await readFile(file, "utf8")).split("\n").slice(0, 2)).toEqual(["21", '"whole"']);
    expect(await readFile(file, "utf8")).not.toMatch(/^12$/m);
  });

  it("goes on in a new file when somebody moved the old one away", async () => {
    const path = await folder();
    const file = join(path, "c.ndjson");
    const outbox = new MemoryOutbox();
    outbox.emitMany(3);
    openUplink({ outbox, folder: path, settings: { kind: "file", path: "c.ndjson" } });
    await outbox.drained();
    await rename(file, `${file}.taken`);
    outbox.emitMany(2);
    await outbox.drained();
    expect(await linesOf(`${file}.taken`)).toHaveLength(3);
    expect(await linesOf(file)).toHaveLength(2);
  });

  it("keeps JSON with line feeds on one line", async () => {
    const path = await folder();
    const outbox = new MemoryOutbox();
    outbox.emit({ data: '{\n"a": [1,\n2]}' });
    openUplink({ outbox, folder: path, settings: { kind: "file", path: "c.ndjson" } });
    await outbox.drained();
    expect(await linesOf(join(path, "c.ndjson"))).toMatchObject([{ data: { a: [1, 2] } }]);
  });

  it("waits and tries again while its folder cannot be written", async () => {
    const path = await folder();
    // A file where a folder has to be fails for root as well.
    await appendFile(join(path, "blocked"), "");
    const outbox = new MemoryOutbox();
    outbox.emitMany(3);
    const lines: string[] = [];
    const uplinks = openUplink({ outbox, folder: path, lines, settings: { kind: "file", path: "blocked/c.ndjson" } });
    await outbox.until(() => (uplinks.figures()["cloud"]?.faults ?? 0) >= 3);
    expect(outbox.receipts.size).toBe(0);
    expect(uplinks.status()[0]).toMatchObject({ healthy: false, fault: { code: "UPLINK_FILE_FAILED" } });
    expect(lines.filter((line) => line.includes("uplink is down"))).toHaveLength(1);
    await expect(uplinks.test("cloud")).rejects.toMatchObject({ code: "UPLINK_FILE_FAILED" });
    await rm(join(path, "blocked"));
    await outbox.drained();
    expect(await linesOf(join(path, "blocked/c.ndjson"))).toHaveLength(3);
    expect(uplinks.status()[0]).toMatchObject({ healthy: true, fault: undefined });
  });

  it("acknowledges nothing on a full disk, and everything once there is room", async () => {
    const path = await folder();
    await symlink("/dev/full", join(path, "c.ndjson"));
    const outbox = new MemoryOutbox();
    outbox.emitMany(5);
    const uplinks = openUplink({ outbox, folder: path, settings: { kind: "file", path: "c.ndjson" } });
    await outbox.until(() => (uplinks.figures()["cloud"]?.faults ?? 0) >= 2);
    expect(uplinks.status()[0]?.fault?.message).toContain("ENOSPC");
    expect(outbox.receipts.size).toBe(0);
    await rm(join(path, "c.ndjson"));
    await outbox.drained();
    expect(await linesOf(join(path, "c.ndjson"))).toHaveLength(5);
  });
});
