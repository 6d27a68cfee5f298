/** `sluice deploy --wait`, against a control API that answers one thing after the other. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, it, onTestFinished, vi } from "vitest";
import { Home } from "../harness/folder.ts";
import { sluice } from "./sluice.ts";

vi.setConfig({ testTimeout: 60_000 });

const at = "2026-01-31T08:00:00.000Z";
const probation = { failures: 0, failuresMax: 2, eventsMax: 200, leastLeftMs: 0 };
const live = { at, version: 2, what: "live", why: "thirds" };

function versions(version: number, more: object, ...history: object[]): object {
  return { name: "h", live: { version, done: 0, failed: 0, ...more }, versions: [], history };
}

/** Answers in this order, the last one for ever. */
async function waited(...answers: object[]): Promise<{ readonly code: number | null; readonly err: string }> {
  const server = createServer((request, answer) => {
    request.resume();
    const body = answers.length > 1 ? answers.shift() : answers[0];
    answer.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(body));
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  using home = new Home();
  onTestFinished(() => void server.close());
  const file = home.write("h.js", "export default () => 1;");
  const env = {
    SLUICE_URL: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    SLUICE_TOKEN: "t".repeat(32),
  };
  return await sluice(["deploy", file, "-m", "thirds", "--wait"], { env });
}

const BEGUN = [versions(1, {}), { name: "h", version: 2, at: "live", before: 1 }, versions(2, { probation }, live)];

it("a version that runs no more, but is not remembered as rolled back yet, has not passed", async () => {
  const why = "3 of 54 events failed";
  const rolledBack = versions(1, {}, live, { at, version: 2, what: "rolled-back", why });
  expect(await waited(...BEGUN, versions(2, {}, live), rolledBack)).toMatchObject({
    code: 1,
    err: expect.stringContaining("h 2 did not stay: 3 of 54 events failed\n") as string,
  });
  expect(await waited(...BEGUN, versions(1, {}, live), rolledBack)).toMatchObject({
    code: 1,
    err: expect.stringContaining("h 2 did not stay: 3 of 54 events failed\n") as string,
  });
});

it("one that has passed has, and so has one that is on no probation", async () => {
  const passed = { code: 0, err: expect.stringContaining("h 2 has passed") as string };
  expect(await waited(...BEGUN, versions(2, {}, live, { at, version: 2, what: "passed" }))).toMatchObject(passed);
  expect(await waited(...BEGUN.slice(0, 2), versions(2, {}, live))).toMatchObject(passed);
});
