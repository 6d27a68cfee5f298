/** Modules written for other platforms, in the shapes that those platforms' handbooks show, run unchanged. */
import { readFileSync, readdirSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { LiveHandler } from "../../src/deployments/deployments.ts";
import type { RunResult } from "../../src/sandbox/results.ts";
import { bundle, loadAll, openSandbox, run, task } from "../sandbox/opened.ts";
import type { Opened as OpenedSandbox } from "../sandbox/opened.ts";
import { Folder, openDeployments } from "./opened.ts";
import type { Opened } from "./opened.ts";

const SAMPLES = new URL("./fixtures/portable/", import.meta.url);
const RUNNING = readdirSync(SAMPLES).filter((file) => !/http|background|several/.test(file));
const TOPIC = "plant/a/press-7/temperature";

let folder: Folder;
let opened: Opened | undefined;
let sandbox: OpenedSandbox;
beforeEach(async () => {
  folder = new Folder();
  sandbox = await openSandbox();
});
afterEach(() => sandbox.sandbox.close());

/** Deploys the sample as it is, with its trigger from the YAML. */
async function deploy(file: string, settings: object = {}): Promise<LiveHandler | undefined> {
  folder.write(file, readFileSync(new URL(file, SAMPLES), "utf8"));
  const name = file.replace(/\.\w+$/, "");
  const own = { topic: "plant/{line}/{machine}/temperature", to: "cloud", ...settings };
  opened = await openDeployments(folder, { settings: { [name]: own } });
  return opened.live[0];
}

/** What becomes of one event with that payload. */
async function send(live: LiveHandler | undefined, data: unknown): Promise<RunResult | undefined> {
  if (live === undefined) throw new Error(opened?.failed.map(([, fault]) => fault.explain()).join());
  const { name, code, sourceMap, version, settings } = live;
  const { params, topics, timeoutMs, memoryBytes } = settings;
  const handler = bundle("", { name, code, sourceMap, version, settings: { params, topics, timeoutMs, memoryBytes } });
  await loadAll(sandbox.sandbox, handler);
  const event = task(handler.id, { seq: 46_655, topic: TOPIC, payload: Buffer.from(JSON.stringify(data)) });
  const { results } = await run(sandbox.sandbox, handler.id, [event], [], 0, Date.UTC(2031, 0, 1));
  return results[0];
}

function outputsOf(result: RunResult | undefined): unknown[] {
  if (result?.at !== "done") throw new Error(JSON.stringify(result));
  return result.outputs.map(({ data }) => JSON.parse(Buffer.from(data).toString()) as unknown);
}

describe("a Lambda function", () => {
  it("in an ES module gets the decoded payload and Lambda's context, and what it returns is sent", async () => {
    const live = await deploy("lambda-async.mjs", { params: { LIMIT: 80 }, timeout: "3s", memory: "64MB" });
    expect(outputsOf(await send(live, { machine: "press-7", celsius: 91 }))).toEqual([
      {
        alarm: "press-7 has 91 °C",
        limit: 80,
        by: "lambda-async:1",
        memory: "64",
        leftMs: 3000,
        logs: "/sluice/lambda-async",
        topic: TOPIC,
      },
    ]);
    expect(sandbox.logs.map(({ message }) => message)).toEqual(["request 0123abcd-zzz"]);
    expect(outputsOf(await send(live, { machine: "press-7", celsius: 79 }))).toEqual([]);
  });

  it("reads its environment from the handler's params, and has none without them", async () => {
    const live = await deploy("lambda-async.mjs");
    expect(outputsOf(await send(live, { machine: "a", celsius: 51 }))).toMatchObject([{ limit: 50 }]);
    expect(outputsOf(await send(live, { machine: "a", celsius: 50 }))).toEqual([]);
  });

  it("with a callback is waited for, and its time goes on meanwhile", async () => {
    const live = await deploy("lambda-callback.js", { timeout: "1s" });
    expect(outputsOf(await send(live, { celsius: 21 }))).toEqual([{ twice: 42, leftMs: 980 }]);
  });

  it("that calls back with an error has failed with it", async () => {
    expect(await send(await deploy("lambda-callback.js"), { fail: "on fire" })).toMatchObject({
      at: "failed",
      final: false,
      failure: {
        code: "HANDLER_THREW",
        message: "Error: the press is on fire",
        stack: expect.stringContaining("handlers/lambda-callback.js:6:"),
      },
    });
  });

  it("that never calls back has failed when its time is up", async () => {
    folder.write("lambda-silent.js", "exports.handler = (event, context, callback) => {};");
    opened = await openDeployments(folder, { settings: { "lambda-silent": { topic: "a", timeout: "50ms" } } });
    expect(await send(opened.live[0], {})).toMatchObject({ at: "failed", failure: { code: "SANDBOX_TIMEOUT" } });
  });

  it("named as AWS SAM names it, in TypeScript, is one", async () => {
    const live = await deploy("lambda-typed.ts");
    expect(outputsOf(await send(live, { machine: "m", celsius: 1 }))).toEqual([{ machine: "m", hasRequest: true }]);
  });
});

describe("a function of the Functions Framework", () => {
  it("that is registered under the handler's name gets a plain CloudEvent", async () => {
    const live = await deploy("gcf-registered.js");
    expect(outputsOf(await send(live, { celsius: 91 }))).toEqual([
      {
        specversion: "1.0",
        id: "0123abcd-zzz",
        source: "//edge-1/dev-1",
        type: "sluice.mqtt.publish",
        subject: TOPIC,
        time: "2023-11-14T22:13:20.000Z",
        datacontenttype: "application/json",
        topic: TOPIC,
        device: "dev-1",
        celsius: 91,
      },
    ]);
    expect(sandbox.logs.map(({ message }) => message)).toEqual([
      "Event ID: 0123abcd-zzz",
      "Event Type: sluice.mqtt.publish",
    ]);
  });

  it("that is the only one registered needs no name of ours, as an ES module does not either", async () => {
    const live = await deploy("gcf-module.mjs");
    expect(outputsOf(await send(live, { celsius: 5 }))).toEqual([{ subject: TOPIC, keys: 10, json: { celsius: 5 } }]);
  });

  it("that is exported alone is one, with a callback or without", async () => {
    const live = await deploy("gcf-exported.js");
    expect(outputsOf(await send(live, {}))).toEqual([{ was: "sluice.mqtt.publish" }]);
    expect(await send(live, { fail: true })).toMatchObject({ at: "failed", failure: { message: "Error: refused" } });
  });
});

describe("a module that cannot run here", () => {
  it.each([
    ["gcf-http.js", '"helloHttp" is an HTTP function, and handlers run on events; register it with cloudEvent()'],
    ["gcf-background.js", '"helloPubSub" takes (data, context, callback) as a background function does'],
    ["gcf-several.mjs", "of the functions first, second none is called as the handler is: gcf-several"],
  ])("%s is refused when it is deployed, and the fault says why", async (file, why) => {
    expect(await deploy(file)).toBeUndefined();
    const fault = opened?.failed[0]?.[1];
    expect(fault?.code).toBe("DEPLOY_LOAD_FAILED");
    expect(fault?.message).toContain(why);
    expect(fault?.message).toContain("(HANDLER_SHAPE)");
  });
});

it("no sample that runs names Sluice", () => {
  expect(RUNNING.length).toBeGreaterThanOrEqual(6);
  for (const file of RUNNING) expect(readFileSync(new URL(file, SAMPLES), "utf8")).not.toMatch(/sluice/i);
});
