import { existsSync, mkdirSync, readdirSync, readFileSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { Fault } from "../../src/fault.ts";
import { Folder, openDeployments, settings, source } from "./opened.ts";
import type { Opened } from "./opened.ts";

let folder: Folder;
let opened: Opened | undefined;
beforeEach(() => (folder = new Folder()));

async function again(handlers: object = {}): Promise<Opened> {
  await opened?.deployments.close();
  opened = await openDeployments(folder, handlers);
  return opened;
}

const numbers = ({ live }: Opened): number[] => live.map(({ version }) => version);

describe("version numbers", () => {
  it("rise with each new content, and the same content keeps its own, across restarts (D2)", async () => {
    folder.write("h.ts", source("return 1"));
    expect(numbers(await again())).toEqual([1]);
    expect(numbers(await again())).toEqual([1]);
    folder.write("h.ts", source("return 2"));
    expect(numbers(await again())).toEqual([2]);
    folder.write("h.ts", source("return 1"));
    expect(numbers(await again())).toEqual([1]);
    folder.write("h.ts", source("return 3"));
    expect(numbers(await again())).toEqual([3]);
  });

  it("go on above what is there when the list is damaged, and the damaged list is kept", async () => {
    folder.write("h.ts", source("return 1"));
    await again();
    folder.write("h.ts", source("return 2"));
    await again();
    writeFileSync(join(folder.data, "h", "versions.json"), '{"format":1,"next":');
    expect(numbers(await again())).toEqual([3]);
    expect(readdirSync(join(folder.data, "h")).filter((file) => file.includes("damaged"))).toHaveLength(1);
  });

  it("are kept for a bounded number of versions", async () => {
    opened = await openDeployments(folder);
    for (let n = 1; n <= 14; n++) {
      folder.write("h.ts", source(`return ${n}`));
      await opened.deployments.scan();
    }
    expect(numbers(opened)).toEqual(Array.from({ length: 14 }, (_, n) => n + 1));
    const files = readdirSync(join(folder.data, "h")).filter((file) => file.endsWith(".js"));
    expect(files.map((file) => Number.parseInt(file, 10)).toSorted((a, b) => a - b)).toEqual([
      // None of the later ones has passed yet: the first is what would be gone back to.
      1, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,
    ]);
  });
});

describe("a version has served", () => {
  const served = ({ live }: Opened): boolean[] => live.map(({ hasServed }) => hasServed);

  it("when it was live as the gateway ended, and not because it is saved again, or comes back after another", async () => {
    folder.write("h.ts", source("return 1"));
    const first = await again();
    folder.remove("h.ts");
    await first.deployments.scan();
    folder.write("h.ts", source("return 1"));
    await first.deployments.scan();
    expect([numbers(first), served(first)]).toEqual([
      [1, 1],
      [false, false],
    ]);
    const second = await again();
    for (const body of ["return 2", "return 1"]) {
      folder.write("h.ts", source(body));
      await second.deployments.scan();
    }
    expect([numbers(second), served(second)]).toEqual([
      [1, 2, 1],
      [true, false, false],
    ]);
  });
});

describe("the last good version", () => {
  it("stays live when the next one does not build, also across a restart (D1)", async () => {
    folder.write("h.ts", source("return 1"));
    await again();
    folder.write("h.ts", "export default ((((");
    await opened?.deployments.scan();
    expect(opened?.deployments.handlers.map(({ version }) => version)).toEqual([1]);
    const { live, failed } = await again();
    expect(live.map(({ version, code }) => [version, code.includes("return 1")])).toEqual([[1, true]]);
    expect(failed.map(([, { code }]) => code)).toEqual(["DEPLOY_BUILD_FAILED"]);
  });

  it("is not run when its file was changed behind our back", async () => {
    folder.write("h.ts", source("return 1"));
    await again();
    const path = join(folder.data, "h", "1.js");
    writeFileSync(path, readFileSync(path, "utf8").replace("return 1", "return 666"));
    folder.write("h.ts", "export default ((((");
    expect((await again()).live).toEqual([]);
  });

  it("stays live when whoever runs it refuses the next one", async () => {
    folder.write("h.ts", source("return 1"));
    const refused: string[] = [];
    opened = await openDeployments(
      folder,
      {},
      {
        live: async ({ code }) => {
          if (code.includes("return 2")) throw new Fault("DEPLOY_LOAD_FAILED", "not that one");
        },
        failed: (name, fault) => refused.push(`${name}: ${fault.message}`),
      },
    );
    folder.write("h.ts", source("return 2"));
    await opened.deployments.scan();
    expect(refused).toEqual(["h: not that one"]);
    expect(opened.deployments.handlers.map(({ version }) => version)).toEqual([1]);
    const list = JSON.parse(readFileSync(join(folder.data, "h", "versions.json"), "utf8")) as { live: number };
    expect(list.live).toBe(1);
  });

  it("the same fault is reported once (D4)", async () => {
    folder.write("h.ts", "export default ((((");
    opened = await openDeployments(folder);
    await opened.deployments.scan();
    await opened.deployments.scan();
    expect(opened.failed).toHaveLength(1);
    folder.write("h.ts", "\nexport default ((((");
    await opened.deployments.scan();
    expect(opened.failed).toHaveLength(2);
  });
});

describe("reconfigure()", () => {
  it("makes the same version live with other settings, and leaves the others alone (D3)", async () => {
    folder.write("a.ts", source("return 1"));
    folder.write("b.ts", source("return 1"));
    opened = await openDeployments(folder);
    opened.live.length = 0;
    await opened.deployments.reconfigure(settings(folder, { settings: { a: { params: { limit: 85 } } } }));
    expect(opened.live.map(({ name, version, settings: { params } }) => [name, version, params])).toEqual([
      ["a", 1, { limit: 85 }],
    ]);
  });

  it("mends a handler that lacked only a setting", async () => {
    folder.write("a.ts", "export default () => 1");
    opened = await openDeployments(folder);
    expect(opened.failed.map(([, { code }]) => code)).toEqual(["DEPLOY_NO_TRIGGER"]);
    await opened.deployments.reconfigure(settings(folder, { settings: { a: { topic: "x" } } }));
    expect(opened.live.map(({ settings: { topics } }) => topics)).toEqual([["x"]]);
  });
});

describe("versions of handlers that are gone", () => {
  it("stay for the hundred that were removed last, and numbers of the others go on when they come back (D2, G7)", async () => {
    opened = await openDeployments(folder);
    await opened.deployments.close();
    for (let n = 1; n <= 103; n++) {
      const path = join(folder.data, `gone-${n}`);
      mkdirSync(path, { recursive: true });
      for (const file of ["1.js", "1.js.map", "3.js"]) writeFileSync(join(path, file), "text");
      writeFileSync(join(path, "versions.json"), JSON.stringify({ format: 1, next: 4, live: 3, versions: [] }));
      utimesSync(join(path, "versions.json"), n, n);
    }
    folder.write("gone-2.ts", source("return 1"));
    const left = (): string[] =>
      readdirSync(folder.data)
        .filter((name) => !existsSync(join(folder.data, name, "3.js")))
        .toSorted();
    for (let start = 1; start <= 2; start++) {
      opened = await openDeployments(folder);
      await opened.deployments.scan();
      // One is there again, a hundred are kept.
      expect(left()).toEqual(["gone-1", "gone-3"]);
      await opened.deployments.close();
    }
    expect(readdirSync(join(folder.data, "gone-1"))).toEqual(["versions.json"]);
    folder.write("gone-1.ts", source("return 1"));
    opened = await openDeployments(folder);
    expect(opened.live.map(({ name, version }) => `${name}@${version}`)).toEqual(["gone-1@4", "gone-2@4"]);
  });
});
