/** The kernel's own wall around a runner's memory, on the kernel of this box. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { GatewayProcess } from "../stories/rig/gateway-process.ts";
import { RawClient } from "../stories/rig/raw-client.ts";
import { until } from "../stories/rig/wait.ts";
import { findPlace } from "./rig/cgroups.ts";
import type { Place } from "./rig/cgroups.ts";
import { needTools } from "./rig/tools.ts";

const MB = 1024 * 1024;
const PATIENCE = { withinMs: 20_000, everyMs: 20 };
const config = { sandbox: { cgroup: "auto", runners: 1, runnerMemoryMax: "160MB" } };
const handlers = {
  // What V8 does not count, some time after the gateway is known to have handed the event out.
  "eat.js": `
    export const config = { topic: "eat", timeout: "20s", retry: { triesMax: 5, backoff: "10ms", backoffMax: "20ms" } };
    export default async () => {
      await new Promise((resolve) => setTimeout(resolve, 1500));
      const kept = [];
      for (;;) { const b = new ArrayBuffer(1 << 22, { maxByteLength: 1 << 22 }); new Uint8Array(b).fill(1); kept.push(b); }
    };`,
  "good.js": `export const config = { topic: "good", to: ["cloud"] }; export default () => 1;`,
};

/** What this box has: it is the box's kernel, which nothing here could install. */
const found = findPlace();
const [place, why] = typeof found === "string" ? [undefined, found] : [found, ""];
const says = place === undefined ? "" : `, with memory cgroups of version ${place.version}, in ${place.path}`;
afterAll(async () => place?.[Symbol.asyncDispose]());

async function publish(gateway: GatewayProcess, topic: string): Promise<void> {
  using client = await RawClient.open(gateway.mqttPort, `to-${topic}`);
  client.send({ cmd: "publish", topic, qos: 1, messageId: 1, dup: false, retain: false, payload: "{}" });
  await client.expect("puback");
}

describe(`a runner that grows while nobody looks${says}`, () => {
  let gateway: GatewayProcess;
  const at = place as Place;
  const killed = (reason: string) => gateway.metric(`sluice_sandbox_runners_killed_total{reason="${reason}"}`);
  beforeAll(async () => {
    if (place === undefined) throw new Error(`this box has no memory cgroup to write to: ${why}`);
    gateway = await GatewayProcess.start({ config, handlers, wrapper: at.words });
  });
  afterAll(() => gateway?.[Symbol.asyncDispose]());

  it("is in a group of its own, and the gateway in none of them", async () => {
    expect(await gateway.metric("sluice_sandbox_memory_cgroup")).toBe(1);
    const runners = at.runners();
    expect(runners.length).toBeGreaterThan(0);
    expect(gateway.children()).toEqual(expect.arrayContaining(runners));
    expect(runners).not.toContain(gateway.pid);
    for (const name of at.groups()) {
      expect(at.limitOf(name)).toBeGreaterThan(160 * MB);
      expect(at.limitOf(name)).toBeLessThanOrEqual((160 + 2 * 5 + 32) * MB);
    }
  });

  it("is killed by the kernel, counted as killed for memory, and its event alone is a dead letter", async () => {
    await publish(gateway, "eat");
    for (let loss = 1; loss <= 2; loss++) {
      await until(
        "the event in a runner",
        async () => (await gateway.metric("sluice_sandbox_batches_in_flight")) === 1,
        {
          ...PATIENCE,
          tell: () => gateway.logTail(),
        },
      );
      // Those of runners that are gone may still be there.
      const inUse = at.groups().filter((name) => at.pids(name).length > 0);
      // The gateway stands still, and with it its watchdog.
      gateway.signal("SIGSTOP");
      try {
        await until("the kernel's kill", () => at.kills(inUse) > 0, PATIENCE);
      } finally {
        gateway.signal("SIGCONT");
      }
      await until("the loss", () => gateway.logged("runner lost").length === loss, PATIENCE);
      expect(gateway.logged("runner lost").at(-1)?.["why"]).toContain("the kernel killed it");
    }
    await until("the dead letter", async () => (await gateway.ledger()).events.dead === 1, PATIENCE);
    expect(gateway.logged("TASK_CRASHED_RUNNER")).not.toEqual([]);
    expect([await killed("memory"), await killed("time"), await killed("nonsense")]).toEqual([2, 0, 0]);
    await publish(gateway, "good");
    expect((await gateway.drained()).events).toMatchObject({ done: 1, dead: 1 });
    await until("the end of the groups of lost runners", () => at.groups().length === at.runners().length, PATIENCE);
  });

  it("leaves its group to the next gateway when this one is killed, and none when it is stopped", async () => {
    const before = gateway.pid;
    await gateway.kill9();
    expect(at.groups().filter((name) => name.startsWith(`sluice-${before}-`))).not.toEqual([]);
    await gateway.start();
    expect(await gateway.metric("sluice_sandbox_memory_cgroup")).toBe(1);
    expect(at.groups().filter((name) => !name.startsWith(`sluice-${gateway.pid}-`))).toEqual([]);
    await gateway.stop();
    expect(at.groups()).toEqual([]);
  });
});

describe("a gateway that may not write to the cgroups' file system, as in a container", () => {
  it("starts, says so once, and looks at its runners' memory itself", async () => {
    needTools("mount");
    const readOnly = `for point in $(awk '$3 ~ /^cgroup/ { print $2 }' /proc/self/mounts); do mount -o remount,bind,ro "$point" || exit; done; exec "$@"`;
    await using gateway = await GatewayProcess.start({
      config,
      handlers,
      wrapper: ["unshare", "--mount", "/bin/sh", "-c", readOnly, "sh"],
    });
    expect(await gateway.metric("sluice_sandbox_memory_cgroup")).toBe(0);
    expect(gateway.logged("runners have no memory cgroup")).toHaveLength(1);
    expect(gateway.logged("runners have no memory cgroup")[0]?.["level"]).toBe(30);
    await publish(gateway, "good");
    expect((await gateway.drained()).events.done).toBe(1);
  });
});
