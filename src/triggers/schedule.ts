/** Trigger kind `schedule`: which handlers tick when. When an instant has come is the ticker's to say (ticker.ts). */
import { innerKey, innerTopic, innerSubject } from "./inner.ts";
import type { KeyOf } from "./key.ts";
import { planOf } from "./plan.ts";
import type { Missed, Plan } from "./plan.ts";
import type { Trigger, TriggerConfig } from "./triggers.ts";

const WHAT = "tick";

export interface Scheduled {
  readonly handler: number;
  readonly plan: Plan;
  readonly missed: Missed;
  /** Of its events. */
  readonly topic: string;
}

export class ScheduleTrigger implements Trigger {
  readonly kind = "schedule";
  readonly #scheduled = new Map<number, Scheduled>();
  /** Called when a handler's schedule has come or changed. */
  onChange: () => void = () => undefined;

  get scheduled(): Iterable<Scheduled> {
    return this.#scheduled.values();
  }

  /** Whether it has not been replaced, or removed, since. */
  has(scheduled: Scheduled): boolean {
    return this.#scheduled.get(scheduled.handler) === scheduled;
  }

  bind(handler: number, config: TriggerConfig): KeyOf | undefined {
    const { schedule, name = "" } = config;
    if (schedule === undefined) {
      this.unbind(handler);
      return undefined;
    }
    const plan = planOf(schedule);
    this.#scheduled.set(handler, { handler, plan, missed: schedule.missed, topic: innerTopic("schedule", WHAT, name) });
    this.onChange();
    return innerKey(config);
  }

  unbind(handler: number): void {
    this.#scheduled.delete(handler);
  }

  match(topic: string): readonly number[] {
    const name = innerSubject(topic, "schedule", WHAT);
    if (name === undefined) return [];
    return [...this.#scheduled.values()]
      .filter((scheduled) => scheduled.topic === topic)
      .map(({ handler }) => handler)
      .sort((a, b) => a - b);
  }
}
