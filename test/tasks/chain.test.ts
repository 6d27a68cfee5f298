import { describe, expect, it } from "vitest";
import { lineageOf, writeEventRecord } from "../../src/event.ts";
import { Fault } from "../../src/fault.ts";
import type { Task } from "../../src/task.ts";
import { chained } from "../../src/tasks/chain.ts";
import type { ChainContext } from "../../src/tasks/chain.ts";

const NAMES = ["", "meter", "relay"];

function context(more: Partial<ChainContext> = {}): ChainContext {
  return {
    wanted: (topic) => (topic === "heard" ? [1, 2] : []),
    hopsMax: 3,
    nameOf: (handler) => NAMES[handler] ?? "?",
    takesChained: () => true,
    ...more,
  };
}

function taskAfter(hops: number): Task {
  let lineage = "";
  for (let hop = 0; hop < hops; hop++) lineage = lineageOf(7, lineage, 1 + (hop % 2), 0);
  const page = Buffer.alloc(512);
  const event = { kind: "topic", topic: "t", device: "d", payload: Buffer.alloc(0), qos: 1, retain: false } as const;
  writeEventRecord(page, 0, { ...event, hops, ...(hops > 0 ? { lineage } : {}), timeMs: 1 }, [1]);
  return { handler: 2, seq: 7, page, at: 0, key: "t", attempt: 0, parked: false };
}

describe("a publish by a handler", () => {
  it("is for nobody where nobody listens, however long its chain and however full the journal", () => {
    expect(chained(context({ takesChained: () => false }), taskAfter(3), "unheard")).toEqual([]);
  });

  it("is an event for who listens, up to the last hop that is allowed", () => {
    expect(chained(context(), taskAfter(0), "heard")).toEqual([1, 2]);
    expect(chained(context(), taskAfter(2), "heard")).toEqual([1, 2]);
  });

  it("fails its task for good one hop later, and the fault names the chain", () => {
    const fault = chained(context(), taskAfter(3), "heard");
    expect(fault).toBeInstanceOf(Fault);
    expect(fault).toMatchObject({ code: "TASK_CHAIN_TOO_LONG", passing: false });
    expect((fault as Fault).message).toContain("heard would be hop 4 of a chain: meter → relay → meter → relay");
  });

  it("with hopsMax: 0 never makes an event", () => {
    expect(chained(context({ hopsMax: 0 }), taskAfter(0), "heard")).toMatchObject({ code: "TASK_CHAIN_TOO_LONG" });
  });

  it("fails its task for now where the journal has no room", () => {
    const fault = chained(context({ takesChained: () => false }), taskAfter(0), "heard");
    expect(fault).toMatchObject({ code: "TASK_CHAIN_REFUSED", passing: true });
  });
});
