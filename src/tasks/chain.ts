/**
 * Chains: what a handler publishes to a topic that handlers listen to, itself perhaps, is an event for them. It is made in
 * the commit that has the output (journal/settle.ts), so there is no moment at which one is there without the other. How
 * far a chain goes is limited, which is what ends a loop.
 */
import { eventRecord, handlersOf } from "../event.ts";
import { Fault } from "../fault.ts";
import type { Task } from "../task.ts";

export interface ChainContext {
  /** Ids of the handlers that listen to a topic, rising. */
  readonly wanted: (topic: string) => readonly number[];
  /** Handlers that may lie between what began it and an event. */
  readonly hopsMax: number;
  /** Name of a handler by its journal id. */
  readonly nameOf: (handler: number) => string;
  /** Whether the journal has room for events that the handler's outputs make. */
  readonly takesChained: (handler: number) => boolean;
}

const NOBODY: readonly number[] = [];

/** Who gets what the task's handler publishes on `topic`; or the Fault with which the task fails. */
export function chained(context: ChainContext, { handler, page, at }: Task, topic: string): readonly number[] | Fault {
  const wanted = context.wanted(topic);
  if (wanted.length === 0) return NOBODY;
  const { hopsMax, nameOf } = context;
  if (eventRecord.hops(page, at) >= hopsMax) {
    const names = [...handlersOf(eventRecord.lineage(page, at)), handler].map(nameOf);
    const message = `publishing to ${topic} would be hop ${hopsMax + 1} of a chain: ${names.join(" → ")}`;
    return new Fault("TASK_CHAIN_TOO_LONG", message);
  }
  if (context.takesChained(handler)) return wanted;
  return new Fault(
    "TASK_CHAIN_REFUSED",
    `the journal has no room for further events of its making, and handlers listen to ${topic}`,
  );
}
