/**
 * A journal in memory, for the pipeline's tests. It differs from the real one in that a commit is a microtask, nothing
 * survives, lengths are characters, and its books are arrays that a test can read: every settlement in the order in which
 * it was staged. What the pipeline relies on is the same (contracts/journal.ts).
 */
import { writeEventRecord } from "../../src/event.ts";
import type { EventDraft } from "../../src/event.ts";
import type { Admission, Receiver } from "../../src/pipeline.ts";
import type { Outcome, Task } from "../../src/task.ts";
import type { Feed } from "../../src/tasks/lane.ts";
import type { ParkedKey } from "../../src/tasks/parked.ts";

/** An event that is not settled, of one handler. */
type Kept = Pick<Task, "handler" | "seq" | "page"> & Pick<EventDraft, "topic" | "device">;

interface Consumer {
  readonly tasks: Task[];
  readonly keyOf: (topic: string, device: string) => string;
  readonly wake: () => void;
  /** Neither settled nor parked. */
  waiting: number;
}

export interface Settlement {
  readonly task: Task;
  readonly outcome: Outcome;
  readonly version: number;
}

export class MemoryJournal {
  readonly settlements: Settlement[] = [];
  /** Handlers whose feed is open. */
  readonly open = new Set<number>();
  /** Called before parked tasks are listed, while whoever asked waits. */
  onParked: () => void = () => undefined;
  readonly #consumers = new Map<number, Consumer>();
  readonly #parked = new Map<string, Task[]>();
  /** By handler and key: when its first parked task is due. */
  readonly #dues = new Map<string, number>();
  /** By handler and event: neither settled nor parked. */
  readonly #kept = new Map<string, Kept>();
  readonly #states = new Map<string, string>();
  #seq = 0;

  append(event: EventDraft, wanted: readonly number[], receiver: Receiver, tag: number): Admission {
    const page = Buffer.alloc(1024);
    writeEventRecord(page, 0, event, wanted);
    const seq = ++this.#seq;
    queueMicrotask(() => {
      for (const handler of wanted) {
        const kept = { handler, seq, page, topic: event.topic, device: event.device };
        this.#kept.set(`${handler}/${seq}`, kept);
        const consumer = this.#consumers.get(handler);
        if (consumer === undefined) continue;
        offer(consumer, kept);
        consumer.wake();
      }
      receiver.committed(tag, undefined);
    });
    return "taken";
  }

  settle(task: Task, outcome: Outcome, version: number): string | undefined {
    this.settlements.push({ task, outcome, version });
    const consumer = this.#consumers.get(task.handler);
    if (consumer !== undefined && !task.parked) consumer.waiting--;
    this.#kept.delete(`${task.handler}/${task.seq}`);
    const parked = this.#parkedOf(task.handler, task.key);
    const kept = parked.filter(({ seq }) => seq !== task.seq);
    if (outcome.at === "retry") {
      kept.push({ ...task, attempt: task.attempt + (outcome.isFree === true ? 0 : 1), parked: true });
      this.#dues.set(`${task.handler}/${task.key}`, outcome.dueMs);
    }
    if (outcome.at === "behind") kept.push({ ...task, parked: true });
    if (outcome.at === "done" && outcome.state === "") this.removeState(task.handler, task.key);
    else if (outcome.at === "done" && outcome.state !== undefined) {
      this.#states.set(`${task.handler}/${task.key}`, outcome.state);
    }
    this.#parked.set(
      `${task.handler}/${task.key}`,
      kept.sort((a, b) => a.seq - b.seq),
    );
    return outcome.at === "dead" ? `d${task.seq}` : undefined;
  }

  /** Whether the states of the handler stay within `bytesMax` characters when the task's key has `state`. */
  fits({ handler, key }: Task, state: string, bytesMax: number): boolean {
    const name = `${handler}/${key}`;
    let chars = state.length;
    for (const [of, value] of this.#states) if (of.startsWith(`${handler}/`) && of !== name) chars += value.length;
    return chars <= bytesMax || state.length <= (this.#states.get(name) ?? "").length;
  }

  takesChained(): boolean {
    return true;
  }

  tasks(handler: number, keyOf: Consumer["keyOf"], wake: () => void): Feed {
    const consumer: Consumer = { tasks: [], keyOf, wake, waiting: 0 };
    for (const kept of this.#kept.values()) if (kept.handler === handler) offer(consumer, kept);
    this.#consumers.set(handler, consumer);
    this.open.add(handler);
    return {
      take: () => consumer.tasks.shift(),
      get waiting() {
        return consumer.waiting;
      },
      close: () => {
        this.open.delete(handler);
        this.#consumers.delete(handler);
      },
    };
  }

  state(handler: number, keys: readonly string[]): (string | undefined)[] {
    return keys.map((key) => this.#states.get(`${handler}/${key}`));
  }

  removeState(handler: number, key: string): void {
    this.#states.delete(`${handler}/${key}`);
  }

  async parked(handler: number): Promise<readonly ParkedKey[]> {
    const keys: ParkedKey[] = [];
    for (const [name, tasks] of this.#parked) {
      const key = name.slice(name.indexOf("/") + 1);
      if (name.startsWith(`${handler}/`) && tasks.length > 0) {
        keys.push({ key, count: tasks.length, dueMs: this.#dues.get(name) ?? 0 });
      }
    }
    this.onParked();
    await Promise.resolve();
    return keys;
  }

  /** As a redrive of a dead letter does: the task is parked, due now. */
  redrive(task: Task): void {
    this.#dues.set(`${task.handler}/${task.key}`, 0);
    this.#parked.set(`${task.handler}/${task.key}`, [
      ...this.#parkedOf(task.handler, task.key),
      { ...task, parked: true },
    ]);
  }

  readParked(handler: number, key: string, max: number): Promise<readonly Task[]> {
    return Promise.resolve(this.#parkedOf(handler, key).slice(0, max));
  }

  #parkedOf(handler: number, key: string): Task[] {
    return this.#parked.get(`${handler}/${key}`) ?? [];
  }
}

function offer(consumer: Consumer, { handler, seq, page, topic, device }: Kept): void {
  const key = consumer.keyOf(topic, device);
  consumer.waiting++;
  consumer.tasks.push({ handler, seq, page, at: 0, key, attempt: 0, parked: false });
}
