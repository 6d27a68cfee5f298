import { once } from "node:events";
import { connect } from "node:net";
import type { Socket } from "node:net";
import { expect, it } from "vitest";
import type { ControlOptions } from "../../src/control/control.ts";
import { openControl } from "./opened.ts";
import type { Opened } from "./opened.ts";

const SLOW_CALL =
  "POST /hooks/slow HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\n{";

/** Lets each call in, and answers it when `written` has come. */
function hooks(
  called = (): void => undefined,
  written: Promise<void> = Promise.resolve(),
): NonNullable<ControlOptions["hooks"]> {
  return {
    admit: () => undefined,
    methodsOf: () => ["POST"],
    call: async () => {
      called();
      await written;
      return { id: "1" };
    },
  };
}

function open({ control }: Opened, text = ""): Socket {
  const socket = connect(Number(new URL(control.url).port), "127.0.0.1").on("error", () => undefined);
  socket.resume().write(text);
  return socket;
}

it("no more connections than connectionsMax are there at a time: a new one takes the place of the oldest (C7)", async () => {
  await using opened = await openControl({ limits: { connectionsMax: 2 } });
  const [first, second] = [open(opened), open(opened)];
  await Promise.all([once(first, "connect"), once(second, "connect")]);
  const third = open(opened);
  await once(first, "close");
  expect([second.closed, third.closed]).toEqual([false, false]);
  // Who looks takes a place as well.
  expect(await (await opened.ask("/metrics")).text()).toContain("sluice_control_connections_crowded_out_total 2\n");
  for (const socket of [second, third]) socket.destroy();
});

it("whoever opens connections, and sends slowly, keeps neither probes nor operators out (C7)", async () => {
  await using opened = await openControl({ limits: { connectionsMax: 4 } }, hooks());
  const slow = Array.from({ length: 8 }, (_, n) =>
    open(opened, n % 2 === 0 ? "GET /livez HTTP/1.1\r\nHos" : SLOW_CALL),
  );
  await Promise.all(slow.slice(0, 4).map((socket) => once(socket, "close")));
  for (const path of ["/livez", "/readyz", "/api/v1/status"]) expect((await opened.ask(path)).ok).toBe(true);
  for (const socket of slow) socket.destroy();
});

it("what a request with a token, or a webhook's call, is worked on for makes way for nobody (C7)", async () => {
  const called = Promise.withResolvers<void>();
  const written = Promise.withResolvers<void>();
  await using opened = await openControl({ limits: { connectionsMax: 2 } }, hooks(called.resolve, written.promise));
  const head = ["POST /api/v1/dead/drop HTTP/1.1", "Host: localhost", `Authorization: Bearer ${opened.token}`];
  const upload = open(
    opened,
    [...head, "Expect: 100-continue", "Content-Type: application/json", "Content-Length: 2", "\r\n"].join("\r\n"),
  );
  await once(upload, "data");
  const call = open(opened, `${SLOW_CALL}"a": 1}}`);
  await called.promise;
  await once(open(opened), "close");
  written.resolve();
  const [answer] = (await once(call, "data")) as [Buffer];
  expect(answer.toString()).toMatch(/^HTTP\/1.1 202 /);
  upload.write("{}");
  const [refusal] = (await once(upload, "data")) as [Buffer];
  expect(refusal.toString()).toMatch(/^HTTP\/1.1 [24]\d\d /);
  expect((await opened.ask("/livez")).status).toBe(200);
  upload.destroy();
});

it("a client that takes too long to send its request is cut off (C4)", async () => {
  await using opened = await openControl({ limits: { requestTimeout: "200ms" } });
  const socket = open(opened, "GET /livez HTTP/1.1\r\nHost: localhost\r\n");
  const [answer] = (await once(socket, "data")) as [Buffer];
  expect(answer.toString()).toMatch(/^HTTP\/1.1 408 /);
  await once(socket, "close");
});

it("one that asks again before it was answered is closed, and one that waits for each answer is not (C8)", async () => {
  const called = Promise.withResolvers<void>();
  const written = Promise.withResolvers<void>();
  let calls = 0;
  const count = (): void => {
    calls++;
    called.resolve();
  };
  await using opened = await openControl({}, hooks(count, written.promise));
  const ask = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
  const patient = open(opened);
  for (let n = 1; n <= 3; n++) {
    patient.write(ask);
    const [answer] = (await once(patient, "data")) as [Buffer];
    expect(answer.toString()).toMatch(/^HTTP\/1.1 200 /);
  }
  const hasty = open(opened, `${SLOW_CALL}"a": 1}}`);
  await called.promise;
  hasty.write(`${SLOW_CALL}"a": 2}}`.repeat(50));
  await once(hasty, "close");
  written.resolve();
  expect([calls, patient.closed]).toEqual([1, false]);
  patient.destroy();
});

it("large bodies take no more memory than they may have together, and one that has to wait comes again (C9)", async () => {
  await using opened = await openControl();
  const head = [
    "POST /api/v1/handlers/h/versions HTTP/1.1",
    "Host: localhost",
    `Authorization: Bearer ${opened.token}`,
  ];
  const upload = (bytes: number): Socket =>
    open(
      opened,
      [...head, "Expect: 100-continue", "Content-Type: application/json", `Content-Length: ${bytes}`, "\r\n"].join(
        "\r\n",
      ),
    );
  const firsts = [upload(64 * 1024 * 1024), upload(64 * 1024 * 1024)];
  for (const first of firsts) expect(String(await once(first, "data"))).toMatch(/^HTTP\/1.1 100 /);
  const metrics = async (): Promise<string> => await (await opened.ask("/metrics")).text();
  expect(await metrics()).toContain("sluice_control_upload_bytes 134217728\n");
  const third = upload(1);
  let told = "";
  third.on("data", (chunk: Buffer) => (told += chunk.toString()));
  await expect.poll(() => told).toContain('"code":"CONTROL_UPLOADS"');
  expect(told).toMatch(/HTTP\/1.1 503 .*retry-after: 1/is);
  expect(await metrics()).toContain("sluice_control_uploads_refused_total 1\n");
  firsts[0]?.destroy();
  const again = async (): Promise<number> =>
    (await opened.ask("/api/v1/handlers/h/versions", { method: "POST", body: "{}" })).status;
  await expect.poll(again).not.toBe(503);
  for (const socket of [...firsts, third]) socket.destroy();
});
