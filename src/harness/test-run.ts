/** What `sluice test` does: which cases there are, and what comes of them. */
import { matchesGlob, relative, resolve } from "node:path";
import type { CasesFile } from "./cases-schema.ts";
import { findCases, handlerOf, readCases } from "./cases.ts";
import type { FoundCases } from "./cases.ts";
import { FolderWatch } from "../deployments/watch.ts";
import { Fault } from "../fault.ts";
import { runCases } from "./run-cases.ts";
import type { CaseResult } from "./run-cases.ts";
import { sampleEvent } from "./inner-events.ts";
import { Sitting } from "./sitting.ts";
import type { Came } from "./sitting.ts";
import type { Workbench } from "./workbench.ts";
import { matchTopic, parseTopicFilter } from "../topic.ts";

const CASES_FILE = /\.cases\.ya?ml$/;
const START = Date.UTC(2026, 0, 1);

export class TestRun {
  readonly #bench: Workbench;
  /** Those with what the last run was built from. */
  #folders: Set<string>;

  constructor(bench: Workbench) {
    this.#bench = bench;
    this.#folders = new Set([bench.options.handlers.dir]);
  }

  async isHandler(name: string): Promise<boolean> {
    return (await this.#bench.sources()).has(name);
  }

  /**
   * A result a case; or the Fault of a file whose cases are invalid, and of a handler that cannot be built. Throws
   * HARNESS_NO_HANDLER and HARNESS_NO_CASES.
   */
  async *cases(patterns: readonly string[]): AsyncGenerator<CaseResult | Fault> {
    const byHandler = Map.groupBy(await this.#find(patterns), ({ handler }) => handler);
    this.#folders = new Set([this.#bench.options.handlers.dir]);
    for (const [handler, files] of byHandler) {
      try {
        const contents = [];
        for (const { path } of files) contents.push(await readCases(path));
        const built = await this.#bench.build(await this.#bench.source(handler));
        for (const path of [...built.inputs, ...files.map((file) => file.path)]) this.#folders.add(resolve(path, ".."));
        for (const cases of contents) yield* runCases(this.#bench, built, cases);
      } catch (thrown) {
        if (!(thrown instanceof Fault)) throw thrown;
        yield thrown;
      }
    }
  }

  /** A handler to send lines to, `[topic] payload` each; without a topic it is an event that the handler wants. */
  async sit(
    name: string,
    given: Pick<CasesFile, "params" | "secrets"> = {},
  ): Promise<{ send(line: string): Promise<Came> }> {
    const taken = await this.#bench.take(await this.#bench.build(await this.#bench.source(name)), given);
    const sitting = new Sitting(this.#bench, taken);
    const filters = taken.settings.topics.map(parseTopicFilter);
    let timeMs = START;
    return {
      send: (line) => {
        const [first = ""] = line.split(/\s/, 1);
        const isTopic = filters.some((filter) => matchTopic(filter, first) !== undefined) && !/^[{["]/.test(first);
        const looksLikeOne = /^[^\s{["]+\/\S*\s/.test(line);
        timeMs += 1000;
        if (!isTopic && !looksLikeOne) return sitting.send(sampleEvent(taken, Buffer.from(line), { timeMs }));
        const payload = Buffer.from(line.slice(first.length).trimStart());
        return sitting.send({ topic: first, payload, timeMs });
      },
    };
  }

  /** Calls back when what was run last may have changed, until it is stopped. */
  watch(changed: () => void): () => void {
    const watch = new FolderWatch(async (noticed) => {
      watch.set(this.#folders);
      if (noticed) changed();
    });
    watch.set(this.#folders);
    return () => watch.close();
  }

  async close(): Promise<void> {
    await this.#bench.close();
  }

  async #find(patterns: readonly string[]): Promise<readonly FoundCases[]> {
    const { dir } = this.#bench.options.handlers;
    const handlers = await this.#bench.sources();
    const all = await findCases(dir, handlers.keys());
    const chosen = new Map<string, FoundCases>();
    for (const pattern of patterns) {
      const path = resolve(pattern);
      const fitting = all.filter(
        (found) =>
          found.handler === pattern || found.path === path || matchesGlob(relative(process.cwd(), found.path), pattern),
      );
      // A file that lies elsewhere is named by its path.
      if (fitting.length === 0 && CASES_FILE.test(pattern) && !/[*?[{]/.test(pattern)) {
        fitting.push({ handler: handlerOf(path), path });
      }
      if (fitting.length === 0) {
        if (/^[a-z0-9_-]+$/.test(pattern)) await this.#bench.source(pattern);
        throw new Fault("HARNESS_NO_CASES", `there are no cases of "${pattern}"`, { where: dir });
      }
      for (const found of fitting) chosen.set(found.path, found);
    }
    if (patterns.length > 0) return [...chosen.values()];
    if (all.length === 0) throw new Fault("HARNESS_NO_CASES", "no handler has cases", { where: dir });
    return all;
  }
}
