/** What runners are beside running: always up, never busy. Tests say what becomes of batches. */
import type { Runners } from "../../src/tasks/run.ts";

export abstract class RestingRunners implements Runners {
  readonly sharedMax: number;

  constructor(sharedMax: number) {
    this.sharedMax = sharedMax;
  }

  busyMs(): number | undefined {
    return undefined;
  }

  wake(): Promise<void> {
    return Promise.resolve();
  }

  prepare(): Promise<boolean> {
    return Promise.resolve(true);
  }

  abstract run(...args: Parameters<Runners["run"]>): void;
}
