/** Stacks that point into the user's own source, through the source map that the build made. */
import type { Failure } from "../task.ts";
import { Positions } from "./positions.ts";

const FRAMES_MAX = 12;
/** `handler:<name>` is the file name that isolates give to the user's module. */
const POSITION = /handler:[a-z0-9_-]+:(\d+):(\d+)/;
const AT = /^\s+at /;

export class Stacks {
  readonly #sourceMap: string;
  /** null: there is none that could be read. */
  #positions: Positions | null | undefined;

  /** `sourceMap` is JSON, or "" when there is none. Parsed on first use: most versions never fail. */
  constructor(sourceMap: string) {
    this.#sourceMap = sourceMap;
  }

  /**
   * `failure` with the frames of the user's code only, and their places in the user's files. Where there is none, because
   * what failed was waiting or threw what is no error, the handler's file stands for them.
   */
  map(failure: Failure): Failure {
    const lines: string[] = [];
    let frames = 0;
    for (const text of failure.stack?.split("\n") ?? []) {
      if (!AT.test(text)) {
        if (frames === 0) lines.push(text);
        continue;
      }
      const match = POSITION.exec(text);
      if (match === null) continue;
      if (++frames > FRAMES_MAX) break;
      const place = this.#place(Number(match[1]), Number(match[2])) ?? match[0];
      lines.push(text.replace(POSITION, () => place));
    }
    const entry = frames === 0 ? this.#map?.entry : undefined;
    if (entry !== undefined) lines.push(`    at ${entry}`);
    return lines.length === 0 ? failure : { ...failure, stack: lines.join("\n") };
  }

  /** file:line:column of the first frame, for a message that says where. */
  where(failure: Failure): string | undefined {
    const place = /(?:\(|at )((?:[^\s()]+):\d+:\d+)\)?$/m.exec(failure.stack ?? "");
    return place?.[1];
  }

  get #map(): Positions | undefined {
    this.#positions ??= Positions.read(this.#sourceMap) ?? null;
    return this.#positions ?? undefined;
  }

  #place(line: number, column: number): string | undefined {
    const origin = this.#map?.find(line - 1, column - 1);
    return origin === undefined ? undefined : `${origin.source}:${origin.line + 1}:${origin.column + 1}`;
  }
}
