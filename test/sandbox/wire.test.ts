import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import {
  FRAME_KINDS,
  FrameReader,
  RAN_HEAD_BYTES,
  ranFrame,
  readRunHead,
  runFrame,
  textFrame,
} from "../../src/sandbox/wire.ts";
import type { Frame } from "../../src/sandbox/wire.ts";
import { readAnswer, strike, WireError } from "../../src/sandbox/results.ts";
import type { RunResult } from "../../src/sandbox/results.ts";
import type { Fetch, FetchRequest } from "../../src/fetch.ts";
import { bundle, openSandbox, patient, run, task } from "./opened.ts";
import type { Opened } from "./opened.ts";

describe("frames", () => {
  it("come out as they went in, however they are cut", () => {
    fc.assert(
      fc.property(
        fc.array(fc.string({ unit: "binary", maxLength: 300 }), { maxLength: 8 }),
        fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1 }),
        (texts, cuts) => {
          const stream = Buffer.concat(texts.map((text, id) => textFrame("loaded", id, text)));
          const seen: string[] = [];
          const reader = new FrameReader();
          for (let at = 0, i = 0; at < stream.length; i++) {
            const size = cuts[i % cuts.length] as number;
            const wrong = reader.push(stream.subarray(at, at + size), (frame: Frame) => {
              seen.push(frame.body.toString());
              expect([frame.kind, frame.id]).toEqual(["loaded", seen.length - 1]);
            });
            expect(wrong).toBeUndefined();
            at += size;
          }
          expect(seen).toEqual(texts.map((text) => Buffer.from(text).toString()));
        },
      ),
    );
  });

  it.each([
    ["too long", Buffer.from([0xff, 0xff, 0xff, 0xff])],
    ["too short", Buffer.from([0, 0, 0, 2, 1, 1])],
    ["of no kind", Buffer.from([0, 0, 0, 5, 99, 0, 0, 0, 1])],
  ])("a frame that is %s is refused before it is buffered", (_, bytes) => {
    expect(new FrameReader().push(bytes, () => undefined)).toMatch(/^(a frame of|there is no frame)/);
  });

  it("a batch names its version and count, and carries a key's state once", () => {
    const batch = [task(1, { key: "a" }), task(1, { key: "a" }), task(1, { key: "b" })];
    const frame = runFrame(7, 12, { atMs: 1_700_000_000_123, captured: true }, batch, [
      '{"ü":1}',
      '{"ü":1}',
      undefined,
    ]);
    expect(frame.length).toBe(4 + frame.readUInt32BE(0));
    const { serial, count, atMs, captured, tasks } = readRunHead(frame.subarray(9));
    expect([serial, count, atMs, captured]).toEqual([12, 3, 1_700_000_000_123, true]);
    expect(tasks.toString("latin1").split(Buffer.from('{"ü":1}').toString("latin1"))).toHaveLength(2);
  });
});

describe("an answer", () => {
  const reader = {
    failure: <T>(failure: T): T => failure,
    log: () => undefined,
    uplink: (name: string): string => name,
    dropped: () => undefined,
    limits: { outputsMax: 2, resultBytesMax: 4096, stateBytesMax: 64, logCharsMax: 100 },
  };
  const read = (lines: string, count = 1, failure?: unknown): RunResult[] =>
    readAnswer(
      Buffer.from(ranFrame(1, lines, failure, { tookMs: 1.5, cpuMs: 1e9, heapBytes: 1e15 }).subarray(9)),
      Array.from({ length: count }, () => task(1)),
      reader,
    );

  it.each([
    ["no result at all", "", 1],
    ["too few results", ".\n", 2],
    ["too many results", ".\n.\n", 1],
    ["a line without an end", ".", 1],
    ["an unknown letter", "?\n", 1],
    ["an empty line", "\n", 1],
    ["an output that is no JSON", "o{\n.\n", 1],
    ["an output of two values", "o1,2\n.\n", 1],
    ["text that is no text", "x1\n.\n", 1],
    ["bytes that are no text", "b[]\n.\n", 1],
    ["too many outputs", "o1\no2\no3\n.\n", 1],
    ["a state that is no JSON", "s{,}\n.\n", 1],
    ["a state that is too long", `s"${"x".repeat(500)}"\n.\n`, 1],
    ["an address that is none", "a[1]\no1\n.\n", 1],
    ["an address of numbers", 'a{"to":[1]}\no1\n.\n', 1],
    ["a publish with a wildcard", 'a{"publish":{"topic":"a/#","qos":0}}\no1\n.\n', 1],
    ["a publish without QoS", 'a{"publish":{"topic":"a"}}\no1\n.\n', 1],
    ["a failure without a code", '!{"message":"x"}\n', 1],
    ["a failure with a made-up code", '!{"code":"rm -rf","message":"x"}\n', 1],
    ["a failure with a code of another room", '!{"code":"JOURNAL_LOCKED","message":"x"}\n', 1],
    ["a failure that nests without end", `!${"[".repeat(2e5)}${"]".repeat(2e5)}\n`, 1],
    ["an address that nests without end", `a${"[".repeat(2e5)}${"]".repeat(2e5)}\no1\n.\n`, 1],
    ["more bytes of outputs than are allowed", `o"${"x".repeat(20_000)}"\n.\n`, 1],
    ["a log line without end", `l3"${"x".repeat(100_000)}"\n.\n`, 1],
    ["a task behind one that did not fail", ".\n~\n", 2],
    ["a batch of which nothing was run", "-\n-\n", 2],
    ["a log line of no level", 'l9"x"\n.\n', 1],
    ["a log line of no text", "l3{}\n.\n", 1],
  ])("with %s is refused (S3)", (_, lines, count) => {
    expect(() => read(lines, count)).toThrow(WireError);
  });

  it.each(
    [
      [0, 1, 2, 3, 255].map((byte) => Buffer.from([...Array(12).fill(0), byte, 0, 0, 9])),
      [[Buffer.alloc(0)], [Buffer.alloc(15)], [Buffer.from([...Array(16).fill(0), 0xff, 0x0a])]],
    ]
      .flat(2)
      .map((body) => [body]),
  )("of bytes %j is refused", (body) => {
    expect(() => readAnswer(body, [task(1)], reader)).toThrow(WireError);
  });

  it("of any text at all is read or refused, and nothing else", () => {
    const letters = fc.constantFrom(
      "o",
      "a",
      "x",
      "b",
      "s",
      ".",
      "!",
      "~",
      "-",
      "l3",
      '"x"',
      "{}",
      '{"code":"HANDLER_B","message":"m"}',
      "\n",
      "1",
    );
    fc.assert(
      fc.property(fc.array(letters), fc.option(fc.jsonValue(), { nil: undefined }), (parts, failure) => {
        try {
          expect(read(parts.join(""), 2, failure)).toHaveLength(2);
        } catch (error) {
          expect(error).toBeInstanceOf(WireError);
        }
      }),
      { numRuns: 500 },
    );
  });

  it("has no prototypes to pollute", () => {
    const [result] = read('a{"__proto__":{"to":["evil"]},"to":["cloud"]}\no1\n.\n');
    expect(result).toMatchObject({ at: "done", outputs: [{ to: ["cloud"] }] });
    expect(({} as { to?: unknown }).to).toBeUndefined();
  });
});

describe("the task that was struck", () => {
  const failure = { code: "SANDBOX_MEMORY", message: "m" };
  const ats = (keys: string, index: number, answered: RunResult[] = []): string[] =>
    strike(
      answered,
      keys.split("").map((key) => task(1, { key })),
      index,
      failure,
      "isolate",
    ).map(({ at }) => at);

  it("has failed, with those behind it behind it", () => {
    expect(ats("abab", 0)).toEqual(["failed", "unrun", "behind", "unrun"]);
  });

  it("has to run again alone when answers of its key before it are lost", () => {
    expect(ats("abab", 2)).toEqual(["crashed", "unrun", "crashed", "unrun"]);
    expect(ats("abab", 2, [{ at: "behind" }, { at: "behind" }])).toEqual(["behind", "behind", "failed", "unrun"]);
  });
});

/** Code of an impostor that asks for something in the name of the batch \`id\`. */
/** The answer of a batch of one that is done, as an expression. */
const DONE = `Buffer.concat([Buffer.alloc(${RAN_HEAD_BYTES}), Buffer.from(".\\n")])`;

function ask(id = "id", more: object = {}): string {
  const line = { id: 1, url: "http://a.example/", method: "GET", redirect: "follow", headers: ["a", "b"], ...more };
  return `channel.write(frame(kinds.indexOf("ask"), ${id}, ${JSON.stringify(`f${JSON.stringify(line)}`)}));`;
}

/** Each one is asked for and taken back, so there is never more than one at a time. */
const askAndEnd = `let n = 0; setInterval(() => {
  for (let i = 0; i < 100; i++) {
    const line = { id: ++n, url: "http://a.example/", method: "GET", redirect: "follow", headers: [] };
    channel.write(frame(kinds.indexOf("ask"), id, "f" + JSON.stringify(line)));
    channel.write(frame(kinds.indexOf("ask"), id, "x" + n));
  }
}, 0)`;

describe("a runner that was taken over", () => {
  let opened: Opened | undefined;
  afterEach(() => opened?.sandbox.close());

  /** A runner that greets as it should, then does `deed` with the first frame after that. */
  const impostor = (deed: string): { args: string[]; stdin: string; guestCode: string } => ({
    args: ["--input-type=module", "-"],
    guestCode: "",
    stdin: `
      import { Socket } from "node:net";
      const channel = new Socket({ fd: 3, readable: true, writable: true });
      const frame = (kind, id, body) => {
        const bytes = Buffer.from(body);
        const head = Buffer.alloc(9);
        head.writeUInt32BE(bytes.length + 5, 0);
        head[4] = kind;
        head.writeUInt32BE(id, 5);
        return Buffer.concat([head, bytes]);
      };
      const kinds = ${JSON.stringify(FRAME_KINDS)};
      let rest = Buffer.alloc(0);
      channel.on("data", (chunk) => {
        rest = Buffer.concat([rest, chunk]);
        while (rest.length >= 4 && rest.length >= 4 + rest.readUInt32BE(0)) {
          const kind = kinds[rest[4]], id = rest.readUInt32BE(5), body = rest.subarray(9, 4 + rest.readUInt32BE(0));
          rest = rest.subarray(4 + rest.readUInt32BE(0));
          if (kind === "hello") channel.write(frame(kinds.indexOf("ready"), 0, "null"));
          if (kind === "load" && !JSON.parse(body).lazy) channel.write(frame(kinds.indexOf("loaded"), id, '{"at":"ready","config":"{}"}'));
          if (kind === "run") { ${deed} }
        }
      });
      channel.on("end", () => process.exit());`,
  });

  it.each([
    ["an unknown request", `channel.write(frame(kinds.indexOf("ran"), 4242, ${DONE}))`],
    ["the wrong kind of answer", "channel.write(frame(kinds.indexOf('loaded'), id, '{}'))"],
    ["stuck without a task", "channel.write(frame(kinds.indexOf('stuck'), id, '{\"index\":7}'))"],
    ["no JSON", "channel.write(frame(kinds.indexOf('stuck'), id, '{'))"],
    [
      "noise",
      "channel.write(require('node:crypto').randomBytes(4096))".replace(
        "require('node:crypto').randomBytes(4096)",
        "Buffer.alloc(4096, 0xab)",
      ),
    ],
    ["a frame without end", "channel.write(Buffer.from([0x7f, 0xff, 0xff, 0xff, 1]))"],
    ["an end", "process.exit(3)"],
    ["ready once more", "channel.write(frame(kinds.indexOf('ready'), 0, 'null'))"],
    ["an ask for a batch that it does not have", ask("1 + id")],
    ["an ask without a number", ask("id", { id: undefined })],
    ["an ask with a number that is none", ask("id", { id: 1.5 })],
    ["an ask twice", `${ask()}${ask()}`],
    ["an ask without an address", ask("id", { url: 1 })],
    ["an ask with an address that is too long", ask("id", { url: "x".repeat(8193) })],
    ["an ask with too long headers", ask("id", { headers: ["a", "x".repeat(16_384)] })],
    ["an ask with half a header", ask("id", { headers: ["a"] })],
    ["an ask with too many headers", ask("id", { headers: Array.from({ length: 202 }, () => "a") })],
    ["an ask with headers that are none", ask("id", { headers: { a: "b" } })],
    ["an ask with a body that is too long", ask("id", { body: "x".repeat(1025) })],
    ["an ask with a body that is none", ask("id", { body: [] })],
    ["an ask that redirects as it likes", ask("id", { redirect: "" })],
    ["more asks than there may be", [1, 2, 3].map((n) => ask("id", { id: n })).join("")],
    ["an ask that is no JSON", "channel.write(frame(kinds.indexOf('ask'), id, 'f{'))"],
    ["an ask that nests without end", "channel.write(frame(kinds.indexOf('ask'), id, 'f' + '['.repeat(2e5)))"],
    ["an ask of no kind", "channel.write(frame(kinds.indexOf('ask'), id, 'z{}'))"],
    ["an ask of nothing", "channel.write(frame(kinds.indexOf('ask'), id, ''))"],
    ["an ask that is not UTF-8", "channel.write(frame(kinds.indexOf('ask'), id, Buffer.from([0x66, 0xff])))"],
    ["an ask without end", "channel.write(frame(kinds.indexOf('ask'), id, 'f' + ' '.repeat(1e6)))"],
    ["the end of an ask that it has not made", "channel.write(frame(kinds.indexOf('ask'), id, 'x1'))"],
    ["the end of an ask twice", `${ask()}${"channel.write(frame(kinds.indexOf('ask'), id, 'x1'));".repeat(2)}`],
    ["asks and their ends without end", askAndEnd],
    ["an ask beyond those that a batch may have", ask("id", { id: 1101 })],
    ["the end of an ask without a number", "channel.write(frame(kinds.indexOf('ask'), id, 'x1.5'))"],
  ])("and answers with %s is replaced, and its batch is crashed", async (_, deed) => {
    let open = 0;
    const fetch: Fetch = () => {
      open++;
      return () => void open--;
    };
    opened = await openSandbox({}, { command: impostor(deed), fetch });
    const { sandbox } = opened;
    const handler = bundle("", { settings: { limits: { fetchesMax: 2, fetchRequestBytesMax: 1024 } } });
    expect(await sandbox.load(handler)).toMatchObject({ at: "ready" });
    const pid = sandbox.pids[0];
    expect((await run(sandbox, handler.id, [task(handler.id)])).results).toMatchObject([{ at: "crashed" }]);
    await expect.poll(() => sandbox.figures().runnersReady, patient).toBe(1);
    expect(sandbox.pids[0]).not.toBe(pid);
    expect(sandbox.figures()).toMatchObject({ runnersLost: 1, killedForTime: 0 });
    expect(open).toBe(0);
  });

  it("and leaves out to say that it does not want an answer any more: its asks end with their batch", async () => {
    const states: string[] = [];
    const fetch: Fetch = () => {
      states.push("asked");
      return () => states.push("aborted");
    };
    const deed = `${ask()} channel.write(frame(kinds.indexOf("ran"), id, ${DONE}));`;
    opened = await openSandbox({}, { command: impostor(deed), fetch });
    const handler = bundle("");
    await opened.sandbox.load(handler);
    expect((await run(opened.sandbox, handler.id, [task(handler.id)])).results).toMatchObject([{ at: "done" }]);
    expect(states).toEqual(["asked", "aborted"]);
  });

  it("may use the grants of handlers that it has a batch of, and an end of an ask that has ended costs nothing", async () => {
    const asked: FetchRequest[] = [];
    const fetch: Fetch = (request, done) => {
      asked.push(request);
      setImmediate(() =>
        done({ at: "failed", code: "HANDLER_FETCH_FAILED", message: "m", final: false }, () => undefined),
      );
      return () => undefined;
    };
    const deed = `${ask("id", { body: "\u00ff" })} setTimeout(() => {
      channel.write(frame(kinds.indexOf("ask"), id, "x1"));
      channel.write(frame(kinds.indexOf("ran"), id, ${DONE}));
    }, 50);`;
    opened = await openSandbox({}, { command: impostor(deed), fetch });
    const grants = [{ origin: "http://a.example", private: false }];
    const handler = bundle("", { name: "granted", settings: { fetch: grants, timeoutMs: 400 } });
    const other = bundle("", { settings: { fetch: [{ origin: "http://b.example", private: true }] } });
    await opened.sandbox.load(other);
    await opened.sandbox.load(handler);
    expect((await run(opened.sandbox, handler.id, [task(handler.id)])).results).toMatchObject([{ at: "done" }]);
    expect(asked).toEqual([
      {
        handler: "granted",
        grants,
        timeoutMs: 400,
        responseBytesMax: 1024 * 1024,
        ask: {
          url: "http://a.example/",
          method: "GET",
          redirect: "follow",
          headers: [["a", "b"]],
          body: Buffer.from([255]),
        },
      },
    ]);
    expect(opened.sandbox.figures()).toMatchObject({ runnersLost: 0 });
  });
});
