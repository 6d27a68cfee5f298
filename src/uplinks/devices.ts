/**
 * What handlers publish to local devices (`ctx.publish`) goes through an outbox as well, so that it is in the same commit
 * as the task's end (G2) and survives a crash: the broker is the other side of this uplink. It is not configured.
 */
import { Fault, messageOf } from "../fault.ts";
import type { OutboxEntry } from "../task.ts";
import type { Uplink, Verdict } from "./uplink.ts";

export interface DeviceBroker {
  /** Resolves when each subscriber has it in its socket's buffer or, with `qos` above 0 on disk, in its queue. */
  publish(
    topic: string,
    payload: Uint8Array,
    options: { readonly qos: 0 | 1 | 2; readonly retain: boolean },
  ): Promise<void>;
}

const BATCH_COUNT_MAX = 256;
const BATCH_BYTES_MAX = 1024 * 1024;

/** `broker` gives undefined while the broker is not open. */
export function openDevices(broker: () => DeviceBroker | undefined): Uplink {
  return {
    window: 1,
    batchCountMax: BATCH_COUNT_MAX,
    batchBytesMax: BATCH_BYTES_MAX,
    send: (batch) => send(batch, broker()),
    test: () => Promise.resolve(),
    close: () => Promise.resolve(),
  };
}

/**
 * All at once, in order: the broker queues them as they are handed over, and syncs once for all. A fault that passes is the
 * broker's: from the first one on, they wait for another try.
 */
async function send(batch: readonly OutboxEntry[], broker: DeviceBroker | undefined): Promise<Verdict> {
  if (broker === undefined) return { acked: 0, fault: new Fault("UPLINK_UNREACHABLE", "the broker is not open yet") };
  const failures = await Promise.all(
    batch.map(({ topic, data, qos, retain }) =>
      broker.publish(topic, data, { qos, retain }).then(
        () => undefined,
        (error: unknown) => error,
      ),
    ),
  );
  const passing = failures.findIndex((failure) => failure instanceof Fault && failure.passing);
  const acked = passing === -1 ? batch.length : passing;
  const rejected = failures.slice(0, acked).flatMap((error, index) => {
    if (error === undefined) return [];
    const code = error instanceof Fault ? error.code : "";
    return [{ index, failure: { code, message: messageOf(error) } }];
  });
  return passing === -1 ? { acked, rejected } : { acked, rejected, fault: failures[passing] as Fault };
}
