/** What is wrong with a config file: all of it at once, each with its place. */
import { Fault } from "../fault.ts";
import type { FaultCode } from "../fault.ts";

export interface ConfigProblem {
  readonly code: FaultCode;
  /** The setting, as a path of keys and indices: ["uplinks", "cloud", "kind"]. */
  readonly path: readonly (string | number)[];
  /** What is wrong, one sentence without the place. Never carries a value that came from the environment (G8). */
  readonly message: string;
  /** Replaces the remedy of the fault table where more is known. */
  readonly remedy?: string | undefined;
  /** From 1. */
  readonly line: number;
  /** From 1. */
  readonly column: number;
}

/** A config file that cannot be used. `problems` has at least one entry, in the order of the file. */
export class ConfigFault extends Fault {
  readonly file: string;
  readonly problems: readonly ConfigProblem[];

  constructor(file: string, problems: readonly ConfigProblem[]) {
    const count = problems.length === 1 ? "one problem" : `${problems.length} problems`;
    super("CONFIG_INVALID", `the config has ${count}`, { where: file });
    this.file = file;
    this.problems = [...problems].sort((a, b) => a.line - b.line || a.column - b.column);
  }

  /** One paragraph for each problem: file:line:column: message, remedy, code. */
  override explain(): string {
    return this.problems.map((problem) => problemFault(this.file, problem).explain()).join("\n");
  }
}

/** One problem as a fault of its own. */
export function problemFault(file: string, problem: ConfigProblem): Fault {
  const options = { where: `${file}:${problem.line}:${problem.column}` };
  return new Fault(
    problem.code,
    problem.message,
    problem.remedy === undefined ? options : { ...options, remedy: problem.remedy },
  );
}

/** "uplinks.cloud.buffer", "listeners[0].url": how messages name a setting. */
export function settingName(path: readonly (string | number)[]): string {
  let name = "";
  for (const part of path) {
    if (typeof part === "number") name += `[${part}]`;
    else name += name === "" ? part : `.${part}`;
  }
  return name;
}
