/** What handlers send and fail at, beside the log of `sluice dev`; at most {@link PER_SECOND} events a second. */
import type { Shown } from "../gateway.ts";
import { plain } from "../plain.ts";
import { paint, say } from "./terminal.ts";

const PER_SECOND = 20;

export class DevOutcomes {
  #shown = 0;
  #leftOut = 0;
  #isCounting = false;

  show(outcome: Shown): void {
    if (!this.#isCounting) setTimeout(() => this.#over(), 1000).unref();
    this.#isCounting = true;
    if (this.#shown >= PER_SECOND) {
      this.#leftOut++;
      return;
    }
    this.#shown++;
    for (const line of linesOf(outcome)) say(line);
  }

  #over(): void {
    if (this.#leftOut > 0) say(`… ${this.#leftOut} more events in this second had outputs or failed`);
    this.#shown = this.#leftOut = 0;
    this.#isCounting = false;
  }
}

/** The time as the log has it. */
function linesOf({ handler, topic, sent, failure }: Shown): string[] {
  const on = process.stderr;
  const now = new Date();
  const clock = new Date(now.getTime() - now.getTimezoneOffset() * 60_000).toISOString().slice(11, 23);
  const start = `[${clock}] ${paint("bold", plain(handler), on)}`;
  const lines = sent.map(
    ({ to, data }) => `${start} ${paint("green", "→", on)} ${plain(to) || "nowhere"}  ${plain(data)}`,
  );
  if (failure === undefined) return lines;
  const { code, message, stack = "" } = failure;
  const frames = stack.split("\n").filter((line) => /^\s+at /.test(line));
  return [
    `${start} ${paint("red", `✗ ${code}: ${plain(message)}`, on)}  ${paint("dim", `${plain(topic)}, will be tried again`, on)}`,
    ...frames.map((line) => `    ${paint("dim", plain(line.trim()), on)}`),
  ];
}
