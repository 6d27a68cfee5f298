import { describe, expect, it } from "vitest";
import { z } from "zod";
import { uplinksSettings } from "#src/uplinks/settings.ts";
import { MemoryOutbox } from "../doubles/memory-outbox.ts";
import { openUplink } from "./opened.ts";

const parse = (cloud: unknown): ReturnType<typeof uplinksSettings.safeParse> => uplinksSettings.safeParse({ cloud });
const flaw = (cloud: unknown): string => {
  const { error } = parse(cloud);
  return (error?.issues ?? []).map(({ path, message }) => `${path.join(".")}: ${message}`).join("\n");
};

describe("the settings of uplinks", () => {
  it("need little, and have defaults for the rest", () => {
    expect(uplinksSettings.parse({ cloud: { kind: "file", path: "c.ndjson" } })["cloud"]).toEqual({
      kind: "file",
      path: "c.ndjson",
      maxSize: 64 * 1024 ** 2,
      keep: 10,
      format: "cloudevents",
      buffer: { sizeMax: 1024 ** 3, ageMax: 7 * 86_400_000, whenFull: "drop-oldest" },
      rate: Infinity,
      timeout: 30_000,
      backoff: 500,
      backoffMax: 60_000,
      breakerAfter: 5,
    });
  });

  it("say what is wrong with them", () => {
    expect(flaw({ kind: "carrier-pigeon" })).toMatch(/^cloud\.kind: /);
    expect(flaw({ kind: "file", path: "c", maxsize: "1MB" })).toContain("maxsize");
    expect(flaw({ kind: "mqtt", url: "http://x" })).toContain("mqtt://host:1883");
    expect(flaw({ kind: "mqtt", url: "mqtt://me:secret@x" })).toContain("username: and password:");
    expect(flaw({ kind: "mqtt", url: "mqtt://x", topic: "a/{machine}" })).toContain("{machine} is none of {gateway}");
    expect(flaw({ kind: "mqtt", url: "mqtt://x", topic: "a/#" })).toContain("no +, #");
    expect(flaw({ kind: "https", url: "https://me:secret@x/" })).toContain("as a header");
    expect(flaw({ kind: "https", url: "https://x/", headers: { "Content-Length": "1" } })).toContain(
      "by the uplink itself",
    );
    expect(flaw({ kind: "https", url: "https://x/", headers: { a: "b\nc: s3cret" } })).not.toContain("s3cret");
    expect(uplinksSettings.safeParse({ "a/b": { kind: "file", path: "c" } }).success).toBe(false);
  });

  it("have a JSON Schema in which everything is described", () => {
    const schema = z.toJSONSchema(uplinksSettings, { io: "input" });
    const undescribed: string[] = [];
    const look = (node: unknown, at: string): void => {
      if (typeof node !== "object" || node === null) return;
      const { properties } = node as { properties?: Record<string, object> };
      for (const [name, property] of Object.entries(properties ?? {})) {
        if (!("description" in property) && !("const" in property)) undescribed.push(`${at}.${name}`);
      }
      for (const [name, child] of Object.entries(node)) look(child, `${at}.${name}`);
    };
    look(schema, "");
    expect(undescribed).toEqual([]);
  });

  it("stop the start when they name a certificate that cannot be read", () => {
    const settings = { kind: "mqtt", url: "mqtts://127.0.0.1:1", tls: { ca: "/nowhere/ca.pem" } };
    expect(() => openUplink({ outbox: new MemoryOutbox(), settings })).toThrow(
      expect.objectContaining({ code: "UPLINK_SETTINGS", where: "/nowhere/ca.pem" }),
    );
  });
});

describe("an uplink's name", () => {
  it("that does not exist is a fault that says so", async () => {
    const uplinks = openUplink({ outbox: new MemoryOutbox(), settings: { kind: "mqtt", url: "mqtt://127.0.0.1:1" } });
    const unknown = expect.objectContaining({ code: "UPLINK_UNKNOWN", where: "clowd" });
    expect(() => uplinks.pause("clowd")).toThrow(unknown);
    expect(() => uplinks.resume("clowd")).toThrow(unknown);
    await expect(uplinks.test("clowd")).rejects.toEqual(unknown);
    expect(uplinks.isFull("clowd")).toBe(false);
    expect(uplinks.names).toEqual(["cloud"]);
  });
});
