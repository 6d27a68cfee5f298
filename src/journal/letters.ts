/**
 * What a person does with dead letters: look, redrive, drop. Each change is one commit with the ledger.
 */
import type { Task } from "../task.ts";
import { COLUMN } from "./consumer.ts";
import type { Core } from "./core.ts";
import { parseDeadId, taskOf } from "./dead.ts";
import type { DeadLetter, DeadQuery } from "./dead.ts";
import { readOutput } from "./output.ts";
import { stageOutput } from "./settle.ts";

export class DeadLetters {
  readonly #core: Core;
  readonly #parked: (handler: number, key: string) => void;

  /** `parked` hears of each task that is redriven, when its commit is on disk. */
  constructor(core: Core, parked: (handler: number, key: string) => void) {
    this.#core = core;
    this.#parked = parked;
  }

  get count(): number {
    return this.#core.dead.count;
  }

  /** Oldest first. */
  /** Number of the next one: those that come from now on are not before it. */
  get next(): number {
    return this.#core.dead.next;
  }

  list(query: DeadQuery = {}): Promise<DeadLetter[]> {
    return this.#core.writer.synced().then(() => this.#core.dead.list(query));
  }

  async get(id: string): Promise<DeadLetter | undefined> {
    const number = parseDeadId(id);
    if (number === undefined) return undefined;
    await this.#core.writer.synced();
    return this.#core.dead.get(number);
  }

  /** The task of a letter that is one, with the number of the letter's row. */
  async task(id: string): Promise<{ readonly number: number; readonly task: Task } | undefined> {
    const number = parseDeadId(id);
    if (number === undefined) return undefined;
    await this.#core.writer.synced();
    const row = await this.#core.dead.row(number);
    return row?.kind === "task" ? { number, task: taskOf(row) } : undefined;
  }

  /**
   * Tries it again: a task is parked under its key, due now, with its tries forgotten; an output goes to the end of its
   * uplink's outbox, emitted now: its age counts from here. False when there is no such letter.
   */
  async redrive(id: string): Promise<boolean> {
    const core = this.#core;
    const number = parseDeadId(id);
    if (number === undefined) return false;
    await core.writer.synced();
    const row = await core.dead.row(number);
    if (row === undefined) return false;
    const { group } = core.writer;
    if (!core.dead.unstage(group, number)) return false;
    if (row.kind === "task") {
      const handler = core.handlers[row.handler];
      if (handler === undefined) return false;
      handler.add(COLUMN.dead, -1);
      core.parked.stage(group, handler, taskOf(row), 0, core.clock.now());
      group.touch(handler);
      core.writer.schedule();
      await core.writer.synced();
      this.#parked(row.handler, row.key);
      return true;
    }
    const outbox = core.outboxes[row.uplink];
    if (outbox === undefined) return false;
    const output = readOutput(row.page, row.at, 0);
    outbox.uplink.add(COLUMN.dead, -1);
    stageOutput(core, outbox, { ...output, to: [row.uplink] }, output.position, {
      ...output,
      timeMs: core.clock.now(),
    });
    core.writer.schedule();
    await core.writer.synced();
    return true;
  }

  /** Gives it up for good. False when there is no such letter. */
  async drop(id: string): Promise<boolean> {
    const core = this.#core;
    const number = parseDeadId(id);
    const grave = number === undefined ? undefined : core.dead.grave(number);
    if (number === undefined || grave === undefined) return false;
    const { group } = core.writer;
    if (!core.dead.unstage(group, number)) return false;
    const consumer = grave.kind === "task" ? core.handlers[grave.consumer] : core.outboxes[grave.consumer]?.uplink;
    if (consumer !== undefined) {
      consumer.add(COLUMN.dead, -1);
      consumer.add(COLUMN.droppedAsked, 1);
      group.touch(consumer);
    }
    core.writer.schedule();
    await core.writer.synced();
    return true;
  }
}
