import { defineConfig } from "vitest/config";

const quick = { testTimeout: 20_000, hookTimeout: 20_000 };
const patient = { testTimeout: 300_000, hookTimeout: 300_000 };

/** These take all of a box: `npm run test:peers`, one after the other, before the rest of them. */
const WHOLE_BOX = ["damage", "million"].map((name) => `test/peers/${name}.test.ts`);

/** Minutes of load, of outages, of time and memory that have to pass: `npm run test:stories`. */
const LONG = [
  "cli/editor-files",
  "cli/lifecycle",
  "cli/migrate",
  "cli/state",
  "cli/tail",
  "journal/damage",
  "journal/rotten-tables",
  "sandbox/fetch",
  "sandbox/idle",
  "sandbox/limits",
  "sandbox/room",
  "sandbox/runner-lost",
  "sandbox/spare",
  "sandbox/turns",
  "tasks/large-states",
  "stories/chains",
  "stories/demo",
  "stories/hostile-handlers",
  "stories/journal-full",
  "stories/lifecycle",
  "stories/on",
  "stories/package",
  "stories/qos-2",
  "stories/replay",
  "stories/rollouts",
  "stories/schedule",
  "stories/stalled-subscribers",
  "stories/uplink-outage",
  "stories/webhook",
].map((name) => `test/${name}.test.ts`);

export default defineConfig({
  test: {
    // Two cores at least; most tests wait for processes and disks, so two files at a time nearly halve the time.
    maxWorkers: 2,
    projects: [
      {
        test: {
          name: "unit",
          include: ["test/**/*.test.ts"],
          exclude: ["test/stories/**", "test/peers/**", "test/hostile/**", ...LONG],
          ...quick,
        },
      },
      {
        test: {
          name: "stories",
          include: ["test/stories/**/*.test.ts"],
          exclude: ["test/stories/kill-*.test.ts", ...LONG],
          testTimeout: 300_000,
          hookTimeout: 60_000,
        },
      },
      {
        test: { name: "long", include: LONG, testTimeout: 300_000, hookTimeout: 60_000 },
      },
      {
        // A hundred starts and ends of a gateway take their two minutes.
        test: {
          name: "kills",
          include: ["test/stories/kill-*.test.ts"],
          testTimeout: 300_000,
          hookTimeout: 60_000,
        },
      },
      {
        // One file at a time: what they measure is what a handler does to others.
        test: {
          name: "hostile",
          include: ["test/hostile/**/*.test.ts"],
          fileParallelism: false,
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        test: { name: "damage", include: WHOLE_BOX, fileParallelism: false, ...patient },
      },
      {
        // Their disks are slow, full or cut off: two of them at a time wait half as long.
        test: {
          name: "peers",
          include: ["test/peers/**/*.test.ts"],
          exclude: WHOLE_BOX,
          sequence: { groupOrder: 1 },
          ...patient,
        },
      },
    ],
  },
});
