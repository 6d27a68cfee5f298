/**
 * A real broker on a free port and a data folder of its own, with an ingress in memory.
 */
import { cp, mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { Broker } from "#src/broker/broker.ts";
import type { BrokerOptions } from "#src/broker/broker.ts";
import { brokerSettings } from "#src/broker/settings.ts";
import { systemClock } from "#src/time.ts";
import { MemoryIngress } from "./memory-ingress.ts";

export interface TestBroker extends AsyncDisposable {
  broker: Broker;
  ingress: MemoryIngress;
  port: number;
  /** Parsed log lines. */
  logged: Record<string, unknown>[];
  /** Closes it and opens it again on the same data and ingress. */
  restart(): Promise<void>;
  /** Opens another one on a copy of the data as it lies on disk now; the old one is closed afterwards. */
  crash(): Promise<void>;
}

export async function openBroker(
  limits: Record<string, unknown> = {},
  options: Partial<BrokerOptions> = {},
): Promise<TestBroker> {
  const data = await mkdtemp(join(tmpdir(), "sluice-broker-"));
  const logged: Record<string, unknown>[] = [];
  const log = pino(
    { level: "debug", base: undefined },
    { write: (line: string) => void logged.push(JSON.parse(line) as Record<string, unknown>) },
  );
  const ingress = new MemoryIngress();
  const settings = brokerSettings.parse({ listeners: [{ url: "mqtt://127.0.0.1:0" }], limits });
  let folder = join(data, "0");
  await mkdir(folder);
  const open = (): Promise<Broker> =>
    Broker.open({ settings, ingress, data: folder, clock: systemClock, log, ...options });
  const broker = await open();
  const opened: TestBroker = {
    broker,
    ingress,
    logged,
    port: broker.addresses[0]?.port ?? 0,
    async restart() {
      await opened.broker.close(1000);
      opened.broker = await open();
      opened.port = opened.broker.addresses[0]?.port ?? 0;
    },
    async crash() {
      const before = opened.broker;
      const copy = `${folder}-crashed`;
      await cp(folder, copy, { recursive: true });
      folder = copy;
      opened.broker = await open();
      opened.port = opened.broker.addresses[0]?.port ?? 0;
      ingress.isDeaf = true;
      await before.close(0);
      ingress.isDeaf = false;
    },
    async [Symbol.asyncDispose]() {
      await opened.broker.close(1000);
      await rm(data, { recursive: true, force: true });
    },
  };
  return opened;
}
