/**
 * What a person sees of the demo: chapters, a line that moves on a terminal, and the table at the end.
 *
 * Colours and the moving line only on a terminal and without NO_COLOR; otherwise plain lines, one now and then.
 */
import { styleText } from "node:util";

type Format = Parameters<typeof styleText>[0];

const PLAIN_EVERY_MS = 2_000;
const LABEL_WIDTH = 32;
const NUMBER_WIDTH = 12;

export interface Row {
  readonly label: string;
  readonly value: number;
  /** Nothing to judge when undefined. */
  readonly holds?: boolean;
  readonly note?: string;
}

export class Screen {
  readonly #out: NodeJS.WriteStream;
  readonly #isLive: boolean;
  readonly #isColoured: boolean;
  #lastPlainMs = 0;
  #hasMovingLine = false;

  constructor(out: NodeJS.WriteStream) {
    this.#out = out;
    this.#isLive = out.isTTY && process.env.TERM !== "dumb";
    this.#isColoured = out.isTTY && (process.env.NO_COLOR ?? "") === "";
  }

  title(name: string, text: string): void {
    this.#line(`\n  ${this.#paint(["bold", "cyan"], name)}  ${this.#paint("dim", text)}\n`);
  }

  /** A step of the story, with what it is to show. */
  chapter(mark: string, text: string, more = ""): void {
    this.#line(`  ${mark}  ${this.#paint("bold", text)}${more === "" ? "" : this.#paint("dim", `  ${more}`)}`);
  }

  danger(mark: string, text: string, more = ""): void {
    this.#line(`  ${mark}  ${this.#paint(["bold", "red"], text)}${more === "" ? "" : this.#paint("dim", `  ${more}`)}`);
  }

  /** How things stand: overwrites itself on a terminal. */
  moving(figures: Readonly<Record<string, number>>): void {
    const text = Object.entries(figures)
      .map(([name, value]) => `${this.#paint("dim", name)} ${group(value)}`)
      .join("   ");
    if (this.#isLive) {
      this.#out.write(`\r\u001B[2K     ${text}`);
      this.#hasMovingLine = true;
    } else if (performance.now() - this.#lastPlainMs > PLAIN_EVERY_MS) {
      this.#lastPlainMs = performance.now();
      this.#line(`     ${text}`);
    }
  }

  table(rows: readonly Row[]): void {
    this.#line("");
    for (const { label, value, holds, note } of rows) {
      const number = group(value).padStart(NUMBER_WIDTH);
      const colour: Format = holds === undefined ? "bold" : holds ? ["bold", "green"] : ["bold", "red"];
      const dots = this.#paint("dim", ".".repeat(Math.max(2, LABEL_WIDTH - label.length)));
      this.#line(
        `  ${label} ${dots}${this.#paint(colour, number)}${note === undefined ? "" : this.#paint("dim", `   ${note}`)}`,
      );
    }
  }

  /** One line of the books: what came in is what it became. */
  books(name: string, whole: string, total: number, parts: Readonly<Record<string, number>>, holds: boolean): void {
    const shown = Object.entries(parts).map(([part, value]) => `${group(value)} ${this.#paint("dim", part)}`);
    const sign = holds ? this.#paint("green", "balances") : this.#paint("red", "DOES NOT BALANCE");
    this.#line(`  ${name.padEnd(8)} ${group(total)} ${this.#paint("dim", whole)} = ${shown.join(" + ")}   ${sign}`);
  }

  verdict(holds: boolean, text: string): void {
    this.#line(`\n  ${this.#paint(holds ? ["bold", "green"] : ["bold", "red"], `${holds ? "✓" : "✗"} ${text}`)}\n`);
  }

  plain(text: string): void {
    this.#line(text);
  }

  #line(text: string): void {
    if (this.#hasMovingLine) this.#out.write("\r\u001B[2K");
    this.#hasMovingLine = false;
    this.#out.write(`${text}\n`);
  }

  #paint(format: Format, text: string): string {
    return this.#isColoured ? styleText(format, text, { validateStream: false }) : text;
  }
}

function group(value: number): string {
  return value.toLocaleString("en-US");
}
