/**
 * What handlers publish to local devices (`ctx.publish`) goes through an outbox as well, so that it is in the same commit
 * as the task's end (G2) and survives a crash: the broker is the other side of this uplink. It is not configured.
 */
import { Fault, messageOf } from "../fault.ts";
import type { OutboxEntry } from "../task.ts";
import type { Uplink, Verdict } from "./uplink.ts";

export interface DeviceBroker {
  /** Resolves when each subscriber has it in its socket's buffer or its queue. */
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

/** All at once, in order: the broker queues them as they are handed over. */
async function send(batch: readonly OutboxEntry[], broker: DeviceBroker | undefined): Promise<Verdict> {
  if (broker === undefined) return { acked: 0, fault: new Fault("UPLINK_UNREACHABLE", "the broker is not open yet") };
  const failures = await Promise.all(
    batch.map(({ topic, data, qos, retain }) =>
      broker.publish(topic, data, { qos, retain }).then(
        () => undefined,
        (error: unknown) => ({ code: error instanceof Fault ? error.code : "", message: messageOf(error) }),
      ),
    ),
  );
  const rejected = failures.flatMap((failure, index) => (failure === undefined ? [] : [{ index, failure }]));
  return { acked: batch.length, rejected };
}
