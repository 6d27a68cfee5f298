/** What became of one event, for people: what it sent on stdout, why it failed on stderr. */
import { show } from "../harness/compare.ts";
import type { Came } from "../harness/sitting.ts";
import { plain } from "../plain.ts";
import { paint, print, say } from "./terminal.ts";

export function printCame({ outputs, published }: Came): void {
  for (const { to, data } of outputs) {
    print(`${paint("green", "→")} ${plain(to.join(", ")) || "nowhere"}  ${plain(whole(data))}`);
  }
  for (const { topic, data } of published) print(`${paint("green", "→")} ${plain(topic)}  ${plain(whole(data))}`);
}

export function sayFailure({ at, failure }: Came): void {
  const mark = paint("red", "✗", process.stderr);
  if (at === "unmatched") say(`${mark} the handler does not want this event`);
  if (failure === undefined) return;
  const { code, message, stack = message, dead } = failure;
  const next = dead ? "a dead letter" : "would be tried again";
  say(`${mark} ${stack.split("\n").map(plain).join("\n")} [${code}] (${next})`);
}

/** Data that somebody may want to copy is not cut. */
function whole(data: unknown): string {
  return typeof data === "string" ? data : data instanceof Uint8Array ? show(data) : JSON.stringify(data);
}
