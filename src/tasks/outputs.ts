/** Outputs as the journal takes them: what a handler left out is filled in from its settings and the event. */
import { eventRecord, subjectOf } from "../event.ts";
import { Fault } from "../fault.ts";
import type { Output, Task } from "../task.ts";
import { chained } from "./chain.ts";
import type { ChainContext } from "./chain.ts";
import type { RawOutput } from "./run.ts";

export interface OutputContext extends ChainContext {
  /** Journal id of an uplink by its name, or undefined when there is none. */
  readonly uplink: (name: string) => number | undefined;
  /** Journal id of the outbox that ctx.publish goes through. */
  readonly local: number;
}

/** Where a version's outputs go, and their CloudEvents type, when they say neither. */
export interface OutputDefaults {
  readonly to: readonly number[];
  readonly type: string;
}

/** A Fault when an output names an uplink that there is not, or a publish may not be. */
export function filledIn(
  task: Task,
  raw: readonly RawOutput[],
  defaults: OutputDefaults,
  context: OutputContext,
): readonly Output[] | Fault {
  const outputs: Output[] = [];
  for (const { data, json, to, type, subject, publish } of raw) {
    const uplinks =
      publish !== undefined ? [context.local] : to === undefined ? defaults.to : uplinksOf(to, context.uplink);
    if (uplinks instanceof Fault) return uplinks;
    const topic = publish?.topic ?? "";
    const wanted = publish === undefined ? undefined : chained(context, task, topic);
    if (wanted instanceof Fault) return wanted;
    outputs.push({
      to: uplinks,
      data,
      json,
      type: type ?? defaults.type,
      subject: subject ?? (publish === undefined ? subjectOf(eventRecord.topic(task.page, task.at)) : topic),
      topic,
      qos: publish?.qos ?? 1,
      retain: publish?.retain ?? false,
      wanted,
    });
  }
  return outputs;
}

function uplinksOf(names: readonly string[], idOf: OutputContext["uplink"]): readonly number[] | Fault {
  const ids: number[] = [];
  for (const name of names) {
    const id = idOf(name);
    if (id === undefined) return new Fault("OUTPUT_UPLINK_UNKNOWN", `no uplink is named "${name}"`);
    ids.push(id);
  }
  return [...new Set(ids)];
}
