/**
 * Large bodies that are on their way at the same time: as many bytes as may be together, whoever sends them (C9). What
 * says nothing of its length counts as the most that it may have. The next one is refused, and comes again.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { Fault } from "../fault.ts";

/** Two bundles of the greatest length; a usual one has less than a megabyte. */
const BYTES_MAX = 128 * 1024 * 1024;

export class Uploads {
  #bytes = 0;
  #refused = 0;

  get bytes(): number {
    return this.#bytes;
  }

  get refused(): number {
    return this.#refused;
  }

  /** Undefined lets it in, until the answer has ended. */
  admit({ headers }: IncomingMessage, answer: ServerResponse, bytesMax: number): Fault | undefined {
    const bytes = Math.min(bytesMax, Number(headers["content-length"] ?? bytesMax));
    if (this.#bytes + bytes > BYTES_MAX) {
      this.#refused++;
      return new Fault(
        "CONTROL_UPLOADS",
        `bundles of ${this.#bytes} bytes are on their way, and there may be ${BYTES_MAX}`,
      );
    }
    this.#bytes += bytes;
    answer.once("close", () => (this.#bytes -= bytes));
    return undefined;
  }
}
