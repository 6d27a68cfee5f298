/** The states of a batch's keys: a key's tasks hand it on to each other, and the first of them brings it. */
import { HEAD, joined } from "../heads.ts";
import { bare, substring } from "./primordials.ts";
import { fromUtf8 } from "./text.ts";

/** A key of which a task has failed; no state is this. */
const FAILED = "!";

export class KeyStates {
  #states: (string | undefined)[] = bare([]);
  #isSet: boolean[] = bare([]);
  /** The versions that wrote them; 0: not known. */
  #writers: number[] = bare([]);

  /** For the next batch. */
  forget(): void {
    this.#states = bare([]);
    this.#isSet = bare([]);
    this.#writers = bare([]);
  }

  /** The state that the task whose head begins at `at` finds. */
  read(key: number, text: string, heads: Int32Array, at: number): string | undefined {
    if (this.#isSet[key] !== true) {
      this.#isSet[key] = true;
      const stateAt = heads[at + HEAD.stateAt] as number;
      this.#writers[key] = joined(heads[at + HEAD.writerHigh] as number, heads[at + HEAD.writerLow] as number);
      this.#states[key] = stateAt < 0 ? undefined : fromUtf8(substring(text, stateAt, heads[at + HEAD.stateEnd]));
    }
    return this.#states[key];
  }

  /** Of a state that was read. */
  writerOf(key: number): number {
    return this.#writers[key] as number;
  }

  set(key: number, state: string | undefined, writer: number): void {
    this.#states[key] = state;
    this.#writers[key] = writer;
  }

  fail(key: number): void {
    this.#states[key] = FAILED;
  }

  hasFailed(key: number): boolean {
    return this.#states[key] === FAILED;
  }
}
