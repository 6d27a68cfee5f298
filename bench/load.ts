/** The load generator, from outside. */
import { join } from "node:path";
import type { LoadNews, LoadOrder, LoadPlan } from "./load-process.ts";
import { start } from "./processes.ts";
import type { Started } from "./processes.ts";

export class Load {
  readonly #process: Started;
  #waiting: ((news: LoadNews) => void)[] = [];
  #failed: Error | undefined;

  private constructor(process: Started) {
    this.#process = process;
    process.child.on("message", (news: LoadNews) => {
      for (const resolve of this.#waiting.splice(0)) resolve(news);
    });
    process.child.on("exit", () => {
      this.#failed = new Error(`the load generator ended:\n${process.output()}`);
      for (const resolve of this.#waiting.splice(0)) resolve({ at: "counts", sent: 0, acked: 0, ackMs: [] });
    });
  }

  /** Resolves when all devices are connected. Nothing is published before {@link limit}. */
  static async open(plan: LoadPlan): Promise<Load> {
    const load = new Load(start(join(import.meta.dirname, "load-process.ts"), [JSON.stringify(plan)]));
    await load.#news();
    return load;
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** Publish until so many have been sent in all. */
  limit(sentMax: number): void {
    this.#order({ at: "limit", sentMax });
  }

  async counts(): Promise<LoadNews> {
    const news = this.#news();
    this.#order({ at: "tell" });
    return await news;
  }

  async close(): Promise<void> {
    this.#failed ??= new Error("closed");
    await this.#process.stop();
  }

  async #news(): Promise<LoadNews> {
    const news = await new Promise<LoadNews>((resolve) => this.#waiting.push(resolve));
    if (this.#failed !== undefined) throw this.#failed;
    return news;
  }

  #order(order: LoadOrder): void {
    if (this.#failed !== undefined) throw this.#failed;
    this.#process.child.send(order);
  }
}

/** `count` topics as plants have them: plant/line-3/machine-17/temperature. */
export function plantTopics(count: number): string[] {
  const LINES = 10;
  return Array.from({ length: count }, (_, n) => `plant/line-${n % LINES}/machine-${n}/temperature`);
}
