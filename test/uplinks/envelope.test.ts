import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { eventId } from "#src/event.ts";
import { outputId } from "#src/task.ts";
import type { OutboxEntry } from "#src/task.ts";
import { Envelopes } from "#src/uplinks/envelope.ts";

const names = new Map([
  [1, "overheat"],
  [2, 'route "a/#" é'],
]);
const options = {
  gatewayId: "edge 1/é",
  journalId: "0badcafe",
  handlerName: (handler: number) => names.get(handler) ?? `handler-${handler}`,
} as const;

const entryOf = (over: Partial<OutboxEntry> = {}): OutboxEntry => ({
  seq: 7,
  eventSeq: 1234,
  lineage: "",
  position: 2,
  handler: 1,
  version: 5,
  timeMs: Date.UTC(2026, 10, 23, 6, 7, 8, 9),
  key: "m-12",
  type: "plant.overheat",
  subject: "plant/7/m-12",
  topic: "",
  qos: 1,
  retain: false,
  json: true,
  data: Buffer.from('{"c":81.5}'),
  ...over,
});

const parsed = (entry: OutboxEntry): Record<string, unknown> => {
  const envelopes = new Envelopes({ format: "cloudevents", ...options });
  return JSON.parse(envelopes.bytes(entry).toString()) as Record<string, unknown>;
};

describe("an envelope", () => {
  it("is a structured CloudEvent with the data as it is", () => {
    expect(parsed(entryOf())).toEqual({
      specversion: "1.0",
      id: outputId(eventId("0badcafe", 1234), "overheat", 2),
      source: "//edge%201%2F%C3%A9/overheat",
      type: "plant.overheat",
      subject: "plant/7/m-12",
      time: "2026-11-23T06:07:08.009Z",
      datacontenttype: "application/json",
      sluicekey: "m-12",
      sluiceseq: 7,
      sluiceversion: 5,
      data: { c: 81.5 },
    });
  });

  it("carries opaque bytes as base64", () => {
    const envelope = parsed(entryOf({ json: false, data: Buffer.from([0, 255, 10, 34]) }));
    expect(envelope).toMatchObject({ datacontenttype: "application/octet-stream", data_base64: "AP8KIg==" });
    expect(envelope).not.toHaveProperty("data");
  });

  it("leaves out attributes that CloudEvents forbids to be empty, and never the type", () => {
    const envelope = parsed(entryOf({ subject: "", key: "", type: "" }));
    expect(envelope).not.toHaveProperty("subject");
    expect(envelope).not.toHaveProperty("sluicekey");
    expect(envelope.type).toBe("sluice.output");
  });

  it("is valid JSON with the same texts again, whatever they hold", () => {
    const text = fc.string({ unit: "binary", maxLength: 20 });
    fc.assert(
      fc.property(
        text,
        text,
        text,
        fc.jsonValue(),
        fc.integer({ min: 0, max: 2 ** 48 }),
        (key, subject, type, data, seq) => {
          const json = Buffer.from(JSON.stringify(data));
          const envelope = parsed(entryOf({ key, subject, type, data: json, seq, eventSeq: seq, handler: 2 }));
          const well = (s: string): string => s.toWellFormed();
          expect(envelope.id).toBe(outputId(eventId("0badcafe", seq), names.get(2) ?? "", 2));
          expect(well((envelope.sluicekey as string | undefined) ?? "")).toBe(well(key));
          expect(well((envelope.subject as string | undefined) ?? "")).toBe(well(subject));
          expect(envelope.data).toEqual(JSON.parse(json.toString()));
          expect(envelope.sluiceseq).toBe(seq);
        },
      ),
    );
  });

  it("has the same bytes each time, from another Envelopes too (E1, G3)", () => {
    const one = new Envelopes({ format: "cloudevents", ...options });
    const other = new Envelopes({ format: "cloudevents", ...options });
    for (const version of [5, 6, 5]) {
      const entry = entryOf({ version });
      expect(one.bytes(entry)).toEqual(other.bytes(entry));
      expect(one.bytes(entry).toString()).toContain(`"sluiceversion":${version}`);
    }
    expect(one.id(entryOf())).toBe((parsed(entryOf()) as { id: string }).id);
  });

  it("in raw format is the data alone", () => {
    const raw = new Envelopes({ format: "raw", ...options });
    expect(raw.bytes(entryOf()).toString()).toBe('{"c":81.5}');
  });
});
