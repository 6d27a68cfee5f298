import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { HandlerBundle } from "../../src/sandbox/sandbox.ts";
import { bundle, loadAll, openSandbox, run, task } from "./opened.ts";
import type { Opened } from "./opened.ts";

let opened: Opened;
let echo: HandlerBundle;
beforeAll(async () => {
  opened = await openSandbox();
  echo = bundle(
    "ctx.emit(event.bytes); ctx.emit(event.data === undefined ? null : event.data); ctx.emit([event.topic, event.device, event.datacontenttype])",
  );
  await loadAll(opened.sandbox, echo);
});
afterAll(() => opened.sandbox.close());

/** What the handler got: the payload's bytes, the decoded data as it leaves again, and the rest. */
async function through(
  payloads: readonly Uint8Array[],
  topic = "a",
  device = "d",
): Promise<[Buffer, Buffer, unknown][]> {
  const batch = payloads.map((payload, seq) => task(echo.id, { payload, topic, device, seq }));
  const { results } = await run(opened.sandbox, echo.id, batch);
  return results.map((result) => {
    if (result.at !== "done") throw new Error(JSON.stringify(result));
    const [bytes, data, rest] = result.outputs.map((output) => Buffer.from(output.data)) as [Buffer, Buffer, Buffer];
    return [bytes, data, JSON.parse(rest.toString()) as unknown];
  });
}

describe("a payload", () => {
  it("of any bytes arrives as it is", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.uint8Array({ maxLength: 3000 }), { minLength: 1, maxLength: 5 }),
        async (payloads) => {
          const seen = await through(payloads);
          expect(seen.map(([bytes]) => [...bytes])).toEqual(payloads.map((payload) => [...payload]));
        },
      ),
      { numRuns: 60 },
    );
  });

  it("of any JSON is decoded as JSON", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.jsonValue({ noUnicodeString: false }), { minLength: 1, maxLength: 5 }),
        async (values) => {
          const texts = values.map((value) => JSON.stringify(value));
          const seen = await through(texts.map((text) => Buffer.from(text)));
          expect(seen.map(([, data]) => JSON.parse(data.toString()) as unknown)).toEqual(
            texts.map((text) => JSON.parse(text) as unknown),
          );
        },
      ),
      { numRuns: 60 },
    );
  });

  it("of any text that is no JSON is decoded as text", async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: "grapheme", maxLength: 200 }), async (text) => {
        const [[, data, rest]] = (await through([Buffer.from(`~${text}`)])) as [[Buffer, Buffer, string[]]];
        expect(JSON.parse(data.toString())).toBe(Buffer.from(`~${text}`).toString());
        expect(rest[2]).toBe("text/plain; charset=utf-8");
      }),
      { numRuns: 60 },
    );
  });

  it.each([
    ["an overlong form", [0xc0, 0xaf]],
    ["a surrogate", [0xed, 0xa0, 0x80]],
    ["a lonely continuation", [0x7b, 0x80, 0x7d]],
    ["a cut-off letter", [0xe2, 0x82]],
  ])("with %s is bytes", async (_, bytes) => {
    const [[same, data, rest]] = (await through([Buffer.from(bytes)])) as [[Buffer, Buffer, string[]]];
    expect([...same]).toEqual(bytes);
    expect([...data]).toEqual(bytes);
    expect(rest[2]).toBe("application/octet-stream");
  });

  it("of 2 MB arrives whole", async () => {
    const handler = bundle("return [event.bytes.length, event.data.text.length]", {
      settings: { memoryBytes: 128 * 1024 * 1024, timeoutMs: 5000 },
    });
    await loadAll(opened.sandbox, handler);
    const payload = Buffer.from(JSON.stringify({ text: "x".repeat(2 * 1024 * 1024) }));
    const { results } = await run(opened.sandbox, handler.id, [task(handler.id, { payload })]);
    expect(results[0]).toMatchObject({ at: "done", outputs: [{ data: Buffer.from(String(payload.length)) }, {}] });
  });

  it("goes with any topic and device", async () => {
    const text = fc.string({ unit: "grapheme", minLength: 1, maxLength: 40 });
    await fc.assert(
      fc.asyncProperty(text, text, async (topic, device) => {
        const [[, , rest]] = (await through([Buffer.from("{}")], topic, device)) as [[Buffer, Buffer, string[]]];
        expect(rest.slice(0, 2)).toEqual([Buffer.from(topic).toString(), Buffer.from(device).toString()]);
      }),
      { numRuns: 60 },
    );
  });
});
