import { describe, expect, it } from "vitest";
import type { CloudLine } from "./rig/cloud-lines.ts";
import { Device } from "./rig/device.ts";
import { reading } from "./rig/fleet.ts";
import { imbalances, judge } from "./rig/oracle.ts";
import type { Case } from "./rig/oracle.ts";

/** Three messages of one device that went well. */
function well(qos: 1 | 2 = 1): Case & { readonly lines: CloudLine[] } {
  const device = new Device({ port: 0, id: "d", topic: "load/d", qos, inflightMax: 1, payload: () => "" });
  const lines = [1, 2, 3].map((n) => line(n, n, n));
  return { promises: new Map([["d", [1, 2, 3]]]), devices: [device], arrivals: { lines, torn: [] }, lines };
}

function line(seq: number, n: number, count: number): CloudLine {
  return {
    id: `j-${seq}.count.0`,
    source: "//edge/count",
    type: "t",
    time: "2026-01-01T00:00:00Z",
    sluicekey: "d",
    sluiceseq: seq,
    data: { ...reading("d", n), count },
  };
}

function sorts(given: Case): string[] {
  return judge(given).wrongs.map((wrong) => wrong.slice(0, 2));
}

describe("the oracle, which must be able to find fault,", () => {
  it("finds none where all went well, also with whole duplicates of delivery", () => {
    const given = well();
    expect(sorts(given)).toEqual([]);
    given.lines.push(given.lines[1] as CloudLine);
    expect(judge(given)).toMatchObject({ wrongs: [], repeats: 1, unique: 3, lost: 0 });
  });

  it("finds a message that was promised and is not there (O1)", () => {
    const given = well();
    given.lines.pop();
    expect(judge(given)).toMatchObject({ lost: 1 });
    expect(sorts(given)).toEqual(["O1"]);
  });

  it("finds an id that came again with other data (O2)", () => {
    const given = well();
    given.lines.push({ ...(given.lines[0] as CloudLine), time: "2026-01-02T00:00:00Z" });
    expect(sorts(given)).toEqual(["O2"]);
  });

  it("finds outputs out of order (O3)", () => {
    const given = well();
    given.lines.splice(0, 3, line(1, 1, 1), line(2, 3, 2), line(3, 2, 3));
    expect(sorts(given)).toEqual(["O3"]);
  });

  it("finds a state that was saved without its output, or an output without its state (O4)", () => {
    const skipped = well();
    skipped.lines[2] = line(3, 3, 4);
    expect(sorts(skipped)).toEqual(["O4"]);
    const stale = well();
    stale.lines[2] = line(3, 3, 2);
    expect(sorts(stale)).toEqual(["O4"]);
  });

  it("finds a second event of a message, unless its device sent it again at QoS 1 (O5)", () => {
    const given = well();
    given.lines.push(line(4, 3, 4));
    expect(sorts(given)).toEqual(["O5"]);
    given.devices[0]?.resent.add(3);
    expect(sorts(given)).toEqual([]);
    const exactly = well(2);
    exactly.lines.push(line(4, 3, 4));
    exactly.devices[0]?.resent.add(3);
    expect(sorts(exactly)).toEqual(["O5"]);
  });

  it("finds torn lines and changed payloads (O6)", () => {
    const given = well();
    given.lines[1] = { ...line(2, 2, 2), data: { ...reading("d", 2), check: "0", count: 2 } };
    expect(sorts({ ...given, arrivals: { lines: given.lines, torn: ['{"id":'] } })).toEqual(["O6", "O6"]);
  });

  it("finds books that do not add up, and books that say otherwise than the cloud (O7)", () => {
    const events = { accepted: 3, done: 3, dead: 0, expired: 0, dropped: 0, pending: 0 };
    const cloud = { emitted: 3, delivered: 3, expired: 0, dropped: 0, rejected: 0, waiting: 0 };
    expect(imbalances({ events, uplinks: { cloud } })).toEqual([]);
    expect(imbalances({ events: { ...events, done: 2 }, uplinks: { cloud } })).toHaveLength(1);
    expect(imbalances({ events, uplinks: { cloud: { ...cloud, waiting: -1, delivered: 4 } } })).toHaveLength(1);
    expect(sorts({ ...well(), ledger: { events, uplinks: { cloud } } })).toEqual([]);
    expect(
      sorts({ ...well(), ledger: { events, uplinks: { cloud: { ...cloud, emitted: 2, delivered: 2 } } } }),
    ).toEqual(["O7"]);
  });

  it("passes on what a device saw of broken rules (O8)", () => {
    const given = well();
    given.devices[0]?.complaints.push("an ack of nothing");
    expect(sorts(given)).toEqual(["O8"]);
  });
});
