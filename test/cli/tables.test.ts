import { spawnSync } from "node:child_process";
import { stripVTControlCharacters } from "node:util";
import { describe, expect, it } from "vitest";
import { statusText } from "../../src/cli/status.ts";
import { harmless, plain, plainLines } from "../../src/plain.ts";
import { table } from "../../src/cli/terminal.ts";

describe("text of others", () => {
  // Colours, a C1 introducer, a line of its own, text that runs backwards, a separator of lines.
  const hostile = "a\u001b[31mb\u009b2Jc\r\nd\u202ee\u2066f\u2028g\u007f";

  it("moves no cursor on a terminal, makes no line, and reads in its order", () => {
    expect(plain(hostile)).toBe("a�[31mb�2Jc d�e�f�g�");
    expect(plainLines(hostile)).toBe("a�[31mb�2Jc�\nd�e�f�g�");
  });

  it("is the same JSON, and nothing that a terminal obeys", () => {
    const json = harmless(JSON.stringify({ hostile }));
    // oxlint-disable-next-line no-control-regex -- they are what must not be there
    expect(json).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202e\u2066\u2028]/);
    expect(JSON.parse(json)).toEqual({ hostile });
  });
});

describe("the log on a terminal", () => {
  it("is in lines that nobody else can begin, and colours that nobody else can choose", () => {
    const hostile = "a\u001b[31mb\u009b2J\n[10:00:00.000] INFO: handler live\u202e";
    const program = `
      import { createLog } from ${JSON.stringify(new URL("../../src/log.ts", import.meta.url).href)};
      const text = ${JSON.stringify(hostile)};
      const log = createLog({ level: "info", pretty: true }).child({ room: "test" });
      log.info({ topic: text }, text);
      log.error({ err: new Error(text) }, "failed");
      import { Fault } from ${JSON.stringify(new URL("../../src/fault.ts", import.meta.url).href)};
      log.error({ fault: new Fault("DEPLOY_BUILD_FAILED", text, { where: "h.ts:1:2" }), live: 2 }, "refused");
      log.info("last");`;
    const args = ["--input-type=module", "--eval", program];
    const { stderr } = spawnSync(process.execPath, args, { encoding: "utf8", env: { ...process.env, NO_COLOR: "1" } });
    expect(stderr).toContain("INFO: a�[31mb�2J\n    [10:00:00.000] INFO: handler live�");
    expect(stderr.split("\n").filter((line) => line.startsWith("["))).toHaveLength(4);
    expect(stderr).toMatch(
      /ERROR: refused \{"room":"test","live":2\}\n {4}h\.ts:1:2: a�.*\n {4}→ Mend the place .* \[DEPLOY_BUILD_FAILED\]\n\[.*last/,
    );
    // oxlint-disable-next-line no-control-regex -- they are what must not be there
    expect(stderr).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
  });
});

describe("a table", () => {
  const lines = (width?: number): string[] =>
    stripVTControlCharacters(
      table(
        ["ID", "n", "why"],
        [
          ["d1", 5, "x".repeat(100)],
          ["d22", "-", "short"],
        ],
        width,
      ),
    ).split("\n");

  it("cuts its last column to the width of the terminal, and nothing where there is none", () => {
    expect(lines()[1]).toBe(`d1   5  ${"x".repeat(100)}`);
    expect(lines(108)[1]).toBe(lines()[1]);
    expect(lines(107)[1]).toBe(`d1   5  ${"x".repeat(98)}…`);
    for (const width of [30, 60, 107]) expect(Math.max(...lines(width).map(({ length }) => length))).toBe(width);
    expect(lines(60)[2]).toBe("d22  -  short");
  });

  it("shows a little of the last column, however narrow the terminal is", () => {
    expect(lines(1)[1]).toBe(`d1   5  ${"x".repeat(19)}…`);
  });
});

describe("status", () => {
  const books = { emitted: 5, delivered: 2, expired: 0, dropped: 0, rejected: 0, waiting: 3 };
  const calm = { removed: false, quarantinedMs: 0, proven: true, onProbation: false };
  const handler = { triggers: ["topic a/#"], waiting: 1, parked: 2, running: 0, ...calm };
  const uplink = { kind: "file", state: "idle", healthy: true, breakerOpen: false, waitingBytes: 1, full: false };
  const text = stripVTControlCharacters(
    statusText({
      gateway: "edge-1",
      version: "0.0.0",
      journalId: "0a1b",
      started: "1970-01-01T00:00:00.000Z",
      uptimeMs: 1000,
      ready: true,
      reasons: [],
      ledger: {
        events: { accepted: 8, done: 2, dead: 0, expired: 0, dropped: 0, pending: 6 },
        uplinks: {
          cloud: books,
          $devices: { ...books, delivered: 5, waiting: 0 },
          gone: books,
          old: { ...books, waiting: 0 },
        },
      },
      unmatched: 0,
      handlers: [
        { ...handler, name: "overheat", version: 12 },
        { ...handler, name: "new", version: 3, onProbation: true },
        { ...handler, name: "tried", version: 3, candidate: { version: 4, share: 0.1 } },
        {
          ...handler,
          name: "shadowed",
          version: 3,
          onProbation: true,
          candidate: { version: 4, share: 0 },
          failure: "x",
        },
        { ...handler, name: "route-audit-1", version: 0, triggers: [] },
        { ...handler, name: "gone", version: 0, removed: true },
      ],
      uplinks: [{ ...uplink, name: "cloud", waiting: 3 }],
      journal: { bytes: 1, sizeMaxBytes: 2 },
      damage: [],
    }),
  );

  it("has a row for each handler, route, and what is removed and still waits; a version only where there is one", () => {
    expect(text).toMatch(/^overheat +12 +1 +2 +0 +live +topic a\/#$/m);
    expect(text).toMatch(/^route-audit-1 + - +1 +2 +0$/m);
    expect(text).toMatch(/^gone + - +1 +2 +0 +removed, see below/m);
    expect(text).toMatch(/^gone is gone: .* sluice handlers drop gone$/m);
  });

  it("says which versions are on probation, and what is tried beside them", () => {
    expect(text).toMatch(/^new +3 .* on probation +topic/m);
    expect(text).toMatch(/^tried +3 .* version 4 on 10 % of the keys +topic/m);
    expect(text).toMatch(/^shadowed +3 .* on probation, version 4 as a shadow, see below +topic/m);
  });

  it("has a row for each uplink, for devices on this box, and for uplinks that are removed while outputs wait", () => {
    expect(text).toMatch(/^cloud +file +idle +5 +2 +0 +0 +0 +3$/m);
    expect(text).toMatch(/^\$devices +local +- +5 +5 +0 +0 +0 +0 +what handlers published/m);
    expect(text).toMatch(/^gone +- +removed +5 +2 +0 +0 +0 +3 +its outputs wait/m);
    expect(text).not.toMatch(/^old /m);
  });
});
