/** `sluice replay` when something comes between, against a control API that answers when the test says so. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, it, onTestFinished, vi } from "vitest";
import { start } from "./sluice.ts";

vi.setConfig({ testTimeout: 60_000 });

const REPLAY = {
  ...{ id: "t6k3jd", handler: "h", version: 1, state: "running", apply: true, share: 0.5, samples: [] },
  ...{ since: "2026-01-31T08:00:00.000Z", started: "2026-01-31T09:00:00.000Z" },
  ...{ events: 10, same: 10, skipped: 0, sent: 10, differences: { outputs: 0, state: 0, failed: 0, mended: 0 } },
};

interface Api {
  readonly url: string;
  /** "METHOD path" of each request, in order. */
  readonly asked: string[];
  /** Resolves when the next request comes that begins with `what`; answers it with `body`. */
  next(what: string, body: object): Promise<(answers: boolean) => void>;
  close(): void;
}

async function open(): Promise<Api> {
  const asked: string[] = [];
  const waiting: { what: string; come: (answer: ServerResponse) => void }[] = [];
  const server = createServer((request, answer) => {
    const what = `${request.method} ${request.url}`;
    asked.push(what);
    request.resume();
    const at = waiting.findIndex((one) => what.startsWith(one.what));
    if (at >= 0) waiting.splice(at, 1)[0]?.come(answer);
    else answer.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(REPLAY));
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const close = (): void => {
    server.close();
    server.closeAllConnections();
  };
  onTestFinished(close);
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    close,
    next: async (what, body) => {
      const { promise, resolve } = Promise.withResolvers<ServerResponse>();
      waiting.push({ what, come: resolve });
      const answer = await promise;
      return (answers) => {
        if (answers) answer.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(body));
        else answer.destroy();
      };
    },
  };
}

it("Ctrl-C while the gateway is being asked for the replay cancels it: nothing goes on that nobody follows", async () => {
  const api = await open();
  const began = api.next("POST /api/v1/handlers/h/replays", REPLAY);
  const cancelled = api.next("DELETE", { ...REPLAY, state: "cancelled" });
  const env = { SLUICE_URL: api.url, SLUICE_TOKEN: "t".repeat(32) };
  const replay = start(["replay", "h", "--since", "1h", "--apply"], { env });
  const answer = await began;
  replay.child.kill("SIGINT");
  answer(true);
  await Promise.race([cancelled.then((last) => last(true)), replay.ended]);
  const { code, err } = await replay.ended;
  expect({ code, err }).toEqual({
    code: 130,
    err: expect.stringContaining("sluice replay h --resume t6k3jd") as string,
  });
  expect(api.asked.at(-1)).toBe("DELETE /api/v1/handlers/h/replays/t6k3jd");
});

it("a replay that somebody else cancels says how to go on with it", async () => {
  const api = await open();
  const began = api.next("POST /api/v1/handlers/h/replays", REPLAY);
  const looked = api.next("GET /api/v1/handlers/h/replays/t6k3jd", { ...REPLAY, state: "cancelled" });
  const env = { SLUICE_URL: api.url, SLUICE_TOKEN: "t".repeat(32) };
  const replay = start(["replay", "h", "--since", "1h", "--apply"], { env });
  (await began)(true);
  (await looked)(true);
  const { code, err } = await replay.ended;
  expect({ code, err }).toEqual({
    code: 1,
    err: expect.stringContaining("cancelled; go on with: sluice replay h --resume t6k3jd") as string,
  });
});

it("a replay whose gateway goes away says how to go on with it", async () => {
  const api = await open();
  const looked = api.next("GET /api/v1/handlers/h/replays/t6k3jd", REPLAY);
  const env = { SLUICE_URL: api.url, SLUICE_TOKEN: "t".repeat(32) };
  const replay = start(["replay", "h", "--since", "1h", "--apply"], { env });
  (await looked)(false);
  api.close();
  const { code, err } = await replay.ended;
  expect({ code, err }).toEqual({ code: 4, err: expect.stringContaining("sluice replay h --resume t6k3jd") as string });
  expect(err).toContain("CLI_UNREACHABLE");
});
