import { beforeEach, describe, expect, it } from "vitest";
import { nearest } from "../../src/config/similar.ts";
import { Fault } from "../../src/fault.ts";
import { DEFAULT_LIMITS } from "../../src/limits.ts";
import type { Failure } from "../../src/task.ts";
import { bundle, run, shortly, task } from "../sandbox/opened.ts";
import { Folder, openDeployments, sharedSandbox, source } from "./opened.ts";

let folder: Folder;
beforeEach(() => (folder = new Folder()));

describe("what becomes a handler", () => {
  it("is each .ts, .js and .mjs file, and each folder with an index; nothing else", async () => {
    const plain = "export const config = { topic: 'a' }; export default () => 1;";
    folder.write("typed.ts", source("return 1"));
    folder.write("plain.js", plain);
    folder.write("module.mjs", plain);
    folder.write("folder/index.ts", `import { x } from "./other.ts"; ${plain.replace("1;", "x;")}`);
    folder.write("folder/other.ts", "export const x: number = 2;");
    for (const file of [
      ".hidden.ts",
      "typed.test.ts",
      "typed.d.ts",
      "typed.cases.js",
      "notes.md",
      "lib/shared.ts",
      "node_modules/index.js",
    ]) {
      folder.write(file, "this is no code");
    }
    const opened = await openDeployments(folder);
    expect(opened.live.map(({ name, file, version }) => [name, file, version])).toEqual([
      ["folder", "handlers/folder/index.ts", 1],
      ["module", "handlers/module.mjs", 1],
      ["plain", "handlers/plain.js", 1],
      ["typed", "handlers/typed.ts", 1],
    ]);
    expect(opened.failed).toEqual([]);
  });

  it("may use packages of its own, and DeadLetter from sluice", async () => {
    folder.write("node_modules/tiny/package.json", '{"name":"tiny","main":"./node.js","browser":"./browser.js"}');
    folder.write("node_modules/tiny/node.js", "require('fs')");
    folder.write("node_modules/tiny/browser.js", "exports.twice = (n) => 2 * n");
    folder.write(
      "uses.ts",
      `import { DeadLetter } from "sluice"; import type { Handler } from "sluice"; import { twice } from "tiny";
      export const config = { topic: "a" };
      export default ((event) => { if (event.data.bad) throw new DeadLetter("bad"); return twice(21); }) satisfies Handler;`,
    );
    const opened = await openDeployments(folder);
    const sandbox = await sharedSandbox();
    const { code, sourceMap } = opened.live[0] ?? { code: "", sourceMap: "" };
    const handler = bundle("", { code, sourceMap });
    await sandbox.load(handler);
    const bad = task(handler.id, { key: "b", payload: Buffer.from('{"bad":1}') });
    expect(shortly((await run(sandbox, handler.id, [task(handler.id), bad])).results)).toEqual([
      ["42"],
      "HANDLER_DEAD_LETTER",
    ]);
  });

  it("is strict as a module, and what it was as CommonJS; stacks point to the same lines", async () => {
    folder.write(
      "module.ts",
      "export const config = { topic: 'a' };\nexport default () => {\n  (globalThis as any).x = 0; undeclared = 1;\n};",
    );
    folder.write(
      "script.js",
      "exports.config = { topic: 'a' };\nexports.default = () => { undeclared = 1; return undeclared; };",
    );
    const opened = await openDeployments(folder);
    const sandbox = await sharedSandbox();
    const came: unknown[] = [];
    for (const { code, sourceMap } of opened.live) {
      const handler = bundle("", { code, sourceMap });
      await sandbox.load(handler);
      came.push((await run(sandbox, handler.id, [task(handler.id)])).results[0]);
      sandbox.unload(handler.id);
    }
    expect(came).toMatchObject([
      {
        at: "failed",
        failure: {
          message: expect.stringContaining("undeclared is not defined"),
          stack: expect.stringContaining("handlers/module.ts:3:"),
        },
      },
      { at: "done" },
    ]);
  });

  it("throws with a stack that points into the user's source", async () => {
    folder.write(
      "lib/deep.ts",
      "interface Long { a: string }\n\nexport function deep(x: Long): never {\n  throw new Error(`deep ${x.a}`);\n}\n",
    );
    folder.write(
      "throws.ts",
      'import { deep } from "./lib/deep.ts";\nexport const config = { topic: "a" };\n\nexport default () => {\n  const x: { a: string } = { a: "b" };\n  return deep(x);\n};\n',
    );
    const opened = await openDeployments(folder);
    const sandbox = await sharedSandbox();
    const { code, sourceMap } = opened.live[0] ?? { code: "", sourceMap: "" };
    const handler = bundle("", { name: "throws", code, sourceMap });
    await sandbox.load(handler);
    const [result] = (await run(sandbox, handler.id, [task(handler.id)])).results;
    expect(result).toMatchObject({ at: "failed", failure: { message: "Error: deep b" } });
    const stack = result?.at === "failed" ? result.failure.stack : "";
    expect(stack).toMatch(/at deep \(handlers\/lib\/deep\.ts:4:9\)\n.*handlers\/throws\.ts:6:10/);
  });
});

describe("a failure that nobody threw", () => {
  const failureOf = async (body: string, config = ""): Promise<Failure> => {
    folder.write(
      "late.ts",
      `export const config = { topic: "a", ${config} };\n\nexport default async () => {\n${body}\n};`,
    );
    const opened = await openDeployments(folder);
    const sandbox = await sharedSandbox();
    const { code, sourceMap } = opened.live[0] ?? { code: "", sourceMap: "" };
    const handler = bundle("", { name: "late", code, sourceMap, settings: { timeoutMs: 100 } });
    await sandbox.load(handler);
    const [result] = (await run(sandbox, handler.id, [task(handler.id)])).results;
    if (result?.at !== "failed") throw new Error(JSON.stringify(result));
    return result.failure;
  };

  it.each([
    ["  const x: number = 1;\n  for (;;) x;", "SANDBOX_TIMEOUT", "handlers/late.ts:5:"],
    ["  await 1;\n  await fetch('http://a.example');", "HANDLER_FETCH_DENIED", "handlers/late.ts:5:9"],
    // Nobody knows what it waits for.
    ["  await new Promise(() => 1);", "SANDBOX_TIMEOUT", "handlers/late.ts"],
    ["  throw 1;", "HANDLER_THREW", "handlers/late.ts"],
    ["  return () => 1;", "SANDBOX_RESULT_INVALID", "handlers/late.ts"],
  ])("%s is %s at %s", async (body, code, where) => {
    const { stack, ...failure } = await failureOf(body);
    expect(failure.code).toBe(code);
    expect(stack?.split("\n").find((line) => line.startsWith("    at "))).toContain(where);
    expect(stack).not.toMatch(/isolated-vm|sluice:|file:/);
  });
});

describe("what does not become a handler", () => {
  it.each([
    ["export default () => {\n  const x: number = ;\n}", "DEPLOY_BUILD_FAILED", "handlers/bad.ts:2:21"],
    ['import { x } from "./missing.ts"; export default x;', "DEPLOY_BUILD_FAILED", "handlers/bad.ts:1:19"],
    ['import x from "left-pad"; export default x;', "DEPLOY_BUILD_FAILED", "handlers/bad.ts:1:15"],
    [
      '\nimport { readFileSync } from "node:fs";\nexport default readFileSync;',
      "DEPLOY_NODE_BUILTIN",
      "handlers/bad.ts:2:30",
    ],
    ['import { join } from "path";\nexport default join;', "DEPLOY_NODE_BUILTIN", "handlers/bad.ts:1:22"],
    ['\n\nthrow new Error("at load");\nexport default () => 1;', "DEPLOY_LOAD_FAILED", "handlers/bad.ts:3:7"],
    ["\nfor (;;);\nexport default () => 1;", "DEPLOY_LOAD_FAILED", "handlers/bad.ts:2:1"],
    ["export const config = { topic: 'a' };", "DEPLOY_LOAD_FAILED", "handlers/bad.ts"],
    ["export default () => 1;", "DEPLOY_NO_TRIGGER", "handlers/bad.ts"],
    [source("", '{ topic: "a/#/b" }'), "DEPLOY_CONFIG_INVALID", "handlers/bad.ts:1:25"],
    [source("", '{ topic: "a", timeout: 5 }'), "DEPLOY_CONFIG_INVALID", "handlers/bad.ts:1:37"],
    [source("", '{ topic: "a", timeout: "0s" }'), "DEPLOY_CONFIG_INVALID", "handlers/bad.ts:1:37"],
    [source("", '{ topic: "a", memory: "5GB" }'), "DEPLOY_CONFIG_INVALID", "handlers/bad.ts:1:37"],
    [source("", '{ topic: "a", retry: { triesMax: 0 } }'), "DEPLOY_CONFIG_INVALID", "handlers/bad.ts:1:46"],
    [source("", '{ topic: "a", limits: { cpu: "0ms" } }'), "DEPLOY_CONFIG_INVALID", "handlers/bad.ts:1:47"],
    [
      'const other = { outputsMax: 1 };\n\nexport const config = {\n  topic: "a", params: { x: "}}" }, // outputsMax\n  limits: {\n    outputsMax: 0,\n  },\n};\nexport default () => other;',
      "DEPLOY_CONFIG_INVALID",
      "handlers/bad.ts:6:5",
    ],
    // Not to be found in the text: the export, or the file.
    [source("", 'Object.fromEntries([["timeout", 5]])'), "DEPLOY_CONFIG_INVALID", "handlers/bad.ts:1:14"],
    [
      "const c = { timeout: 5 };\nexport { c as config };\nexport default () => 1;",
      "DEPLOY_CONFIG_INVALID",
      "handlers/bad.ts",
    ],
    ["export const config = { to: [] };\nexport default () => 1;", "DEPLOY_NO_TRIGGER", "handlers/bad.ts:1:14"],
    ["export const config = { topic: 1n };\nexport default () => 1;", "DEPLOY_LOAD_FAILED", "handlers/bad.ts"],
  ])("%j is %s at %s", async (text, code, where) => {
    folder.write("bad.ts", text);
    const opened = await openDeployments(folder, { defaults: { timeout: "200ms" } });
    expect(opened.failed.map(([name, fault]) => [name, fault.code, fault.where])).toEqual([["bad", code, where]]);
    expect(opened.live).toEqual([]);
  });

  it.each([
    ["export const config = { topic: 'a' };", /no function .* nor a `handler` \(HANDLER_EXPORT_MISSING\)$/],
    ["export default 5;", /^the module's default export is of type number, and .* \(HANDLER_EXPORT_MISSING\)$/],
  ])("%j is told what to export", async (text, message) => {
    folder.write("bad.ts", text);
    const opened = await openDeployments(folder);
    const fault = opened.failed[0]?.[1];
    expect(fault?.message).toMatch(message);
    expect(fault?.remedy).toContain("export default (event, ctx) => { … }");
  });

  it.each([
    [{}, "handlers/bad.ts:1:37"],
    [{ settings: { bad: { key: "{c}" } } }, "handlers.settings.bad.key (handlers/bad.ts)"],
  ])(
    "a key that the gateway refuses is found where it stands; of the gateway's config %j at %s",
    async (more, where) => {
      folder.write("bad.ts", source("", '{ topic: "a", key: "{b}" }'));
      const refused = new Fault("TRIGGER_KEY_INVALID", "there is no such level");
      const opened = await openDeployments(folder, more, { live: () => Promise.reject(refused) });
      const { code, message, remedy } = refused;
      expect(opened.failed[0]?.[1]).toMatchObject({ code, message, remedy, where });
    },
  );

  it("a setting in the wrong group is told where it belongs", async () => {
    folder.write("bad.ts", source("", '{ outputsMax: 3, outputMax: 3, triesMax: 3, limits: { timeout: "1s" } }'));
    const opened = await openDeployments(folder, {}, { suggest: nearest });
    expect(opened.failed[0]?.[1].message.split("; ").sort()).toEqual([
      "the exported config of handler bad: there is no setting `limits.timeout`, did you mean `timeout`?",
      "there is no setting `outputMax`, did you mean `limits.outputsMax`?",
      "there is no setting `outputsMax`, did you mean `limits.outputsMax`?",
      "there is no setting `triesMax`, did you mean `retry.triesMax`?",
    ]);
  });

  it("a mistyped setting is named, with what was probably meant", async () => {
    folder.write("bad.ts", source("", '{ topic: "a", timeuot: "1s", retry: { tries: 3 }, limits: { outputMax: 3 } }'));
    const opened = await openDeployments(
      folder,
      {},
      { suggest: (name, known) => known.find((each) => each.startsWith(name.slice(0, 4))) },
    );
    const message = opened.failed[0]?.[1].message;
    expect(message).toContain("there is no setting `timeuot`, did you mean `timeout`?");
    expect(message).toContain("there is no setting `retry.tries`, did you mean `retry.triesMax`?");
    expect(message).toContain("there is no setting `limits.outputMax`, did you mean `limits.outputsMax`?");
  });

  it("names that no handler can have, and two sources of one name, are refused", async () => {
    folder.write("Über.ts", source(""));
    folder.write("twice.ts", source(""));
    folder.write("twice.js", source(""));
    const opened = await openDeployments(folder);
    expect(opened.failed.map(([name, { code }]) => [name, code])).toEqual([
      ["twice", "DEPLOY_NAME_TAKEN"],
      ["Über", "DEPLOY_NAME_INVALID"],
    ]);
    expect(opened.live).toEqual([]);
  });

  it("a folder that is not there is reported, and handlers are found when it comes", async () => {
    folder.remove("");
    const opened = await openDeployments(folder);
    expect(opened.failed.map(([, { code }]) => code)).toEqual(["DEPLOY_DIR_UNREADABLE"]);
    folder.write("late.ts", source("return 1"));
    await opened.deployments.scan();
    expect(opened.live.map(({ name }) => name)).toEqual(["late"]);
  });
});

describe("precedence", () => {
  it("the gateway's settings go over the file's config, and that over the defaults", async () => {
    folder.write(
      "h.ts",
      source(
        "",
        '{ topic: "a", key: "k", to: "one", timeout: "2s", params: { a: 1, b: { c: 1 } }, retry: { triesMax: 3 }, limits: { outputsMax: 3, cpu: "200ms" } }',
      ),
    );
    const opened = await openDeployments(folder, {
      defaults: {
        timeout: "9s",
        memory: "64MB",
        retry: { triesMax: 9, backoff: "9s" },
        limits: { outputsMax: 9, stateMax: "9KB" },
      },
      settings: {
        h: {
          to: ["two", "three"],
          params: { b: 2, d: 3 },
          retry: { backoffMax: "1h" },
          limits: { cpu: "100ms", outputsPerSecond: 5 },
          probation: { events: 50 },
        },
        other: { topic: "x" },
      },
    });
    expect(opened.live[0]?.settings).toEqual({
      topics: ["a"],
      on: [],
      key: "k",
      to: ["two", "three"],
      type: "sluice.h",
      params: { a: 1, b: 2, d: 3 },
      fetch: [],
      secrets: [],
      timeoutMs: 2000,
      memoryBytes: 64 * 1024 * 1024,
      concurrency: 1,
      retry: { triesMax: 3, firstMs: 9000, maxMs: 3_600_000 },
      limits: { ...DEFAULT_LIMITS, outputsMax: 3, stateBytesMax: 9216, cpuMs: 100, outputsPerSecond: 5 },
      probation: { eventsMax: 50, leastMs: 30_000, timeMs: 3_600_000, errors: 0.01, slower: 5 },
    });
  });

  it("what nobody sets has a default", async () => {
    folder.write("h.ts", source("", '{ topic: ["a", "b/{x}"] }'));
    const opened = await openDeployments(folder);
    expect(opened.live[0]?.settings).toEqual({
      topics: ["a", "b/{x}"],
      on: [],
      key: undefined,
      to: [],
      type: "sluice.h",
      params: {},
      fetch: [],
      secrets: [],
      timeoutMs: 1000,
      memoryBytes: 32 * 1024 * 1024,
      concurrency: 1,
      retry: { triesMax: 5, firstMs: 500, maxMs: 300_000 },
      limits: DEFAULT_LIMITS,
      probation: { eventsMax: 200, leastMs: 30_000, timeMs: 3_600_000, errors: 0.01, slower: 5 },
    });
  });
});
