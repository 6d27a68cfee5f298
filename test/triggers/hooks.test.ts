/** Calls of webhooks as clients make them: over HTTP, into a real journal. */
import { createHmac } from "node:crypto";
import { describe, expect, it, onTestFinished } from "vitest";
import { eventId, eventRecord } from "../../src/event.ts";
import type { Journal } from "../../src/journal/journal.ts";
import { CALLS_MAX, Hooks } from "../../src/triggers/hooks.ts";
import type { HooksOptions } from "../../src/triggers/hooks.ts";
import type { Task } from "../../src/task.ts";
import { WebhookTrigger } from "../../src/triggers/webhook.ts";
import type { WebhookConfig } from "../../src/triggers/webhook.ts";
import { openControl } from "../control/opened.ts";
import type { Opened } from "../control/opened.ts";
import { byTopic, dataFolder, drain, nothing, openJournal, SetClock, takeTasks } from "../journal/fixture.ts";
import { wants, webhook } from "./webhooks.ts";

const HOUR = 3_600_000;

interface Open {
  readonly journal: Journal;
  readonly hooks: Hooks;
  readonly control: Opened;
  readonly clock: SetClock;
  call(init?: RequestInit, path?: string): Promise<Response>;
  /** Payloads of the events that there are. */
  events(): Promise<string[]>;
  /** Topics and requests of them. */
  requests(): Promise<{ topic: string; request: string }[]>;
}

async function open(config: WebhookConfig, more: Partial<HooksOptions> = {}, path?: string): Promise<Open> {
  const journal = await openJournal(path ?? (await dataFolder()), { retainMs: 2 ** 40 });
  const handler = journal.handlerId("order");
  const webhooks = new WebhookTrigger();
  webhooks.bind(handler, wants(config));
  const clock = new SetClock();
  clock.nowMs = Date.now();
  const secret = (name: string): string | undefined => ({ key: "a-secret-key" })[name];
  const id = (seq: number): string => eventId(journal.id, seq);
  const hooks = new Hooks({ webhooks, book: journal.once, secret, eventId: id, clock, ...more });
  const control = await openControl({}, hooks);
  const tasks = async (): Promise<Task[]> => {
    const feed = journal.tasks(handler, byTopic, nothing);
    return [...(await takeTasks(feed, feed.waiting)), ...(await drain(feed, 5))];
  };
  onTestFinished(() => control[Symbol.asyncDispose]());
  return {
    journal,
    hooks,
    control,
    clock,
    call: (init = {}, at = "/orders") =>
      fetch(`${control.control.url}/hooks${at}`, {
        method: "POST",
        body: '{"n":1}',
        ...init,
        headers: { "content-type": "application/json", ...(init.headers as object) },
      }),
    events: async () => (await tasks()).map(({ page, at }) => eventRecord.payload(page, at).toString()),
    requests: async () =>
      (await tasks()).map(({ page, at }) => ({
        topic: eventRecord.topic(page, at),
        request: eventRecord.request(page, at),
      })),
  };
}

async function refusal(answer: Response): Promise<{ status: number; code: string }> {
  const { code } = (await answer.json()) as { code: string };
  expect(answer.headers.get("content-type")).toContain("application/problem+json");
  return { status: answer.status, code };
}

describe("a call", () => {
  it("is answered 202 with its event's id when that is on disk (T6), and its body is the payload as it came", async () => {
    const it = await open(webhook());
    const answer = await it.call({ body: '{ "n": 1 }' });
    expect(answer.status).toBe(202);
    expect(await answer.json()).toEqual({ id: eventId(it.journal.id, 1) });
    expect(await it.events()).toEqual(['{ "n": 1 }']);
    expect(it.hooks.figures().calls).toMatchObject({ taken: 1, repeated: 0 });
  });

  it.each([
    ["at another path", {}, "/other", 404, "WEBHOOK_UNKNOWN"],
    ["at a path below it", {}, "/orders/1", 404, "WEBHOOK_UNKNOWN"],
    ["at its path, encoded", {}, "/%6frders", 404, "WEBHOOK_UNKNOWN"],
    ["with another method", { method: "PUT" }, undefined, 405, "WEBHOOK_METHOD"],
    ["with another type", { headers: { "content-type": "image/png" } }, undefined, 415, "WEBHOOK_TYPE"],
    ["with a packed body", { headers: { "content-encoding": "gzip" } }, undefined, 415, "WEBHOOK_TYPE"],
    ["with a body that is too long", { body: "x".repeat(1001) }, undefined, 413, "WEBHOOK_TOO_LARGE"],
    ["with an empty key", { headers: { "idempotency-key": "" } }, undefined, 422, "WEBHOOK_KEY"],
    ["with a key that is too long", { headers: { "idempotency-key": "k".repeat(256) } }, undefined, 422, "WEBHOOK_KEY"],
    ["by a web page", { headers: { origin: "http://evil.example" } }, undefined, 403, "WEBHOOK_DENIED"],
    ["by an image of one", { headers: { "sec-fetch-site": "cross-site" } }, undefined, 403, "WEBHOOK_DENIED"],
  ] as const)("%s is refused with a problem, and makes no event", async (_what, init, path, status, code) => {
    const it = await open(webhook());
    expect(await refusal(await it.call(init as RequestInit, path))).toEqual({ status, code });
    expect(await it.events()).toEqual([]);
  });

  it("is told with its method, its query and the headers that the handler names", async () => {
    const it = await open(webhook({ methods: ["POST", "PUT"], headers: ["Content-Type", "X-Event"] }));
    const headers = { "x-event": "push", "x-other": "no" };
    expect((await it.call({ method: "PUT", headers }, "/orders?a=1&b=x%20y&a=2&__proto__=p&%C3%BC=%22")).status).toBe(
      202,
    );
    expect((await it.call({ method: "PUT" }, "/orders?")).status).toBe(202);
    const [one, two] = (await it.requests()).map(({ request }) => request);
    expect(one).toBe(
      '{"method":"PUT","query":{"a":"1,2","b":"x y","__proto__":"p","ü":"\\""},"headers":{"content-type":"application/json","x-event":"push"}}',
    );
    expect(two).toBe('{"method":"PUT","query":{},"headers":{"content-type":"application/json"}}');
    expect(await it.events()).toEqual(['{"n":1}', '{"n":1}']);
  });

  it("with more in its query than is kept is refused", async () => {
    const it = await open(webhook());
    // Each of these becomes six characters of JSON.
    expect(await refusal(await it.call({}, `/orders?${"%01".repeat(3000)}`))).toEqual({
      status: 413,
      code: "WEBHOOK_TOO_LARGE",
    });
    expect(await it.events()).toEqual([]);
  });

  it("has the levels of its path decoded where they have names, and no other path by it", async () => {
    const it = await open(webhook({ path: "/orders/{id}" }));
    expect((await it.call({}, "/orders/a%20%C3%BC")).status).toBe(202);
    for (const wrong of ["/orders/a%2Fb", "/orders/a%00", "/%6frders/a", "/orders/", "/orders/a/b"]) {
      expect(await refusal(await it.call({}, wrong))).toEqual({ status: 404, code: "WEBHOOK_UNKNOWN" });
    }
    expect((await it.requests()).map(({ topic }) => topic)).toEqual(["$webhook/call//orders/a ü"]);
  });

  it("with another method is told which there are", async () => {
    const it = await open(webhook({ methods: ["POST", "PUT"] }));
    for (const method of ["GET", "DELETE", "OPTIONS", "HEAD"]) {
      const answer = await it.call({ method, ...(method === "OPTIONS" || method === "DELETE" ? {} : { body: null }) });
      expect(answer.status).toBe(405);
      expect(answer.headers.get("allow")).toBe("POST, PUT");
    }
    expect((await it.call({ method: "PUT" }, "/other")).headers.get("allow")).toBeNull();
  });

  it("with a body of exactly the most that is taken, without a length in its head too, is taken", async () => {
    const it = await open(webhook());
    const stream = new Blob(["x".repeat(1000)]).stream();
    expect((await it.call({ body: stream, duplex: "half" })).status).toBe(202);
    const longer = new Blob(["x".repeat(1001)]).stream();
    expect((await it.call({ body: longer, duplex: "half" })).status).toBe(413);
  });

  it("beyond the rate is refused with 429 and Retry-After, until a moment has passed", async () => {
    const it = await open(webhook({ perSecond: 2 }));
    expect([(await it.call()).status, (await it.call()).status]).toEqual([202, 202]);
    const limited = await it.call();
    expect(limited.headers.get("retry-after")).toBe("1");
    expect(await refusal(limited)).toEqual({ status: 429, code: "WEBHOOK_RATE" });
    it.clock.pass(500);
    expect((await it.call()).status).toBe(202);
  });

  it("while the journal takes nothing is refused with 503 and Retry-After", async () => {
    const it = await open(webhook(), { book: { call: () => ({ at: "refused" }) } });
    const busy = await it.call();
    expect(busy.headers.get("retry-after")).toBe("1");
    expect(await refusal(busy)).toEqual({ status: 503, code: "WEBHOOK_BUSY" });
  });

  /** A journal that is slow: `receivers` are called when it has the calls on disk. */
  async function slow(): Promise<{ it: Open; receivers: (() => void)[] }> {
    const receivers: (() => void)[] = [];
    const it = await open(webhook(), {
      book: {
        call: (_key, _content, _event, _wanted, receiver) => {
          receivers.push(() => receiver.committed(0, undefined));
          return { at: "taken", seq: 1 };
        },
      },
    });
    return { it, receivers };
  }

  it("is refused while 64 others wait for the disk", async () => {
    const { it, receivers } = await slow();
    const waiting = Array.from({ length: CALLS_MAX }, () => it.call());
    while (receivers.length < CALLS_MAX) await new Promise((resolve) => setTimeout(resolve, 5));
    expect((await it.call()).status).toBe(429);
    for (const answer of receivers) answer();
    expect((await Promise.all(waiting)).every(({ status }) => status === 202)).toBe(true);
    const after = it.call();
    while (receivers.length === CALLS_MAX) await new Promise((resolve) => setTimeout(resolve, 5));
    receivers.at(-1)?.();
    expect((await after).status).toBe(202);
  });

  it("is refused as well when they came while its body did", async () => {
    const { it, receivers } = await slow();
    const admit = it.hooks.admit.bind(it.hooks);
    let admitted = 0;
    it.hooks.admit = (call) => {
      admit(call);
      admitted++;
    };
    const { promise: rest, resolve: sendRest } = Promise.withResolvers<void>();
    const body = (): ReadableStream<Uint8Array> =>
      new ReadableStream({
        async start(stream) {
          stream.enqueue(Buffer.from("{"));
          await rest;
          stream.enqueue(Buffer.from("}"));
          stream.close();
        },
      });
    const calls = Array.from({ length: CALLS_MAX + 2 }, () => it.call({ body: body(), duplex: "half" }));
    while (admitted < calls.length) await new Promise((resolve) => setTimeout(resolve, 5));
    sendRest();
    while (it.hooks.figures().calls.limited < 2) await new Promise((resolve) => setTimeout(resolve, 5));
    for (const answer of receivers) answer();
    const statuses = (await Promise.all(calls)).map(({ status }) => status);
    expect(statuses.filter((status) => status === 429)).toHaveLength(2);
    expect(receivers).toHaveLength(CALLS_MAX);
  });
});

describe("who may call", () => {
  it("is who bears the gateway's token, unless the handler says otherwise", async () => {
    const it = await open(webhook({ auth: "operator" }));
    expect(await refusal(await it.call())).toEqual({ status: 401, code: "WEBHOOK_UNAUTHORIZED" });
    expect((await it.call({ headers: { authorization: "Bearer wrong" } })).status).toBe(401);
    expect((await it.call({ headers: { authorization: `Bearer ${it.control.token}` } })).status).toBe(202);
  });

  it("is who bears the secret that the handler names, and the gateway's token is none", async () => {
    const it = await open(webhook({ auth: { token: "key" } }));
    expect((await it.call()).status).toBe(401);
    expect((await it.call({ headers: { authorization: `Bearer ${it.control.token}` } })).status).toBe(401);
    expect((await it.call({ headers: { authorization: "Bearer a-secret-key" } })).status).toBe(202);
  });

  it("is nobody where the secret is gone", async () => {
    const it = await open(webhook({ auth: { token: "gone" } }));
    expect(await refusal(await it.call({ headers: { authorization: "Bearer " } }))).toMatchObject({ status: 401 });
    expect(await refusal(await it.call({ headers: { authorization: "Bearer x" } }))).toMatchObject({ status: 403 });
  });

  const hmac = { secret: "key", header: "X-Hub-Signature-256", timestampHeader: undefined, toleranceMs: 300_000 };
  const signed = (text: string, key = "a-secret-key"): string => createHmac("sha256", key).update(text).digest("hex");

  it("is who signs the very bytes of the body", async () => {
    const it = await open(webhook({ auth: { hmac } }));
    const body = '{ "ü" :1}\r\n';
    const signature = `sha256=${signed(body)}`;
    expect((await it.call({ body, headers: { "x-hub-signature-256": signature } })).status).toBe(202);
    for (const wrong of [signed(body, "other"), signed('{"ü":1}'), signature.slice(0, -1), "", "sha256="]) {
      const answer = await it.call({ body, headers: { "x-hub-signature-256": wrong } });
      expect(await refusal(answer)).toEqual({ status: 401, code: "WEBHOOK_UNAUTHORIZED" });
    }
    expect((await it.call({ body })).status).toBe(401);
    expect(await it.events()).toEqual([body]);
  });

  it("has its rate, whatever others send who cannot sign", async () => {
    const it = await open(webhook({ auth: { hmac }, perSecond: 2 }));
    for (let i = 0; i < 5; i++) expect((await it.call()).status).toBe(401);
    const headers = { "x-hub-signature-256": signed('{"n":1}') };
    const own = [await it.call({ headers }), await it.call({ headers }), await it.call({ headers })];
    expect(own.map(({ status }) => status)).toEqual([202, 202, 429]);
  });

  it("is who signs the time as well, and not for longer than the tolerance", async () => {
    const it = await open(webhook({ auth: { hmac: { ...hmac, timestampHeader: "X-Time" } } }));
    const call = async (offsetMs: number, claimedMs = offsetMs): Promise<number> => {
      const [time, claimed] = [offsetMs, claimedMs].map((ms) => Math.floor((it.clock.nowMs + ms) / 1000));
      const signature = signed(`${time}.{"n":1}`);
      return (await it.call({ headers: { "x-hub-signature-256": signature, "x-time": String(claimed) } })).status;
    };
    expect(await call(0)).toBe(202);
    expect(await call(-299_000)).toBe(202);
    expect(await call(-302_000)).toBe(401);
    expect(await call(302_000)).toBe(401);
    expect(await call(-302_000, 0)).toBe(401);
    expect((await it.call({ headers: { "x-hub-signature-256": signed('{"n":1}') } })).status).toBe(401);
  });
});

describe("a call that names itself (T7)", () => {
  const named = (key: string, body = '{"n":1}'): RequestInit => ({ body, headers: { "idempotency-key": key } });

  it("gets the same answer when it is repeated, at once or after a restart, and makes one event", async () => {
    const path = await dataFolder();
    const before = await open(webhook(), {}, path);
    const answers = await Promise.all([1, 2, 3].map(() => before.call(named("k1"))));
    const bodies = await Promise.all(answers.map((answer) => answer.text()));
    expect(answers.map(({ status }) => status)).toEqual([202, 202, 202]);
    expect(new Set(bodies).size).toBe(1);
    expect((await before.call(named("k2"))).status).toBe(202);
    await before.journal.close();

    const after = await open(webhook(), {}, path);
    const again = await after.call(named("k1"));
    expect([again.status, await again.text()]).toEqual([202, bodies[0]]);
    expect(await after.events()).toEqual(['{"n":1}', '{"n":1}']);
    expect(after.hooks.figures().calls).toMatchObject({ taken: 0, repeated: 1 });
  });

  it("is another call at another path, and no repeat with another body", async () => {
    const it = await open(webhook());
    expect((await it.call(named("k"))).status).toBe(202);
    expect(await refusal(await it.call(named("k", '{"n":2}')))).toEqual({ status: 422, code: "WEBHOOK_KEY" });
    expect(await refusal(await it.call(named("k"), "/orders?dry=1"))).toEqual({ status: 422, code: "WEBHOOK_KEY" });
  });

  it("is forgotten after a day", async () => {
    const it = await open(webhook());
    await it.call(named("k"));
    it.clock.nowMs += 24 * HOUR;
    expect((await it.call(named("k"))).status).toBe(202);
    expect((await it.events()).length).toBe(1);
    it.clock.nowMs += 1;
    expect((await it.call(named("k"))).status).toBe(202);
    expect((await it.events()).length).toBe(2);
  });
});
