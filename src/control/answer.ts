/** What a route answers when it is not simply 200 with JSON. */
import type { Sink } from "./stream.ts";

/** An answer other than 200 with JSON. */
export class Answer {
  readonly status: number;
  readonly body: unknown;
  readonly contentType: string;

  constructor(status: number, body: unknown, contentType = "application/json") {
    this.status = status;
    this.body = body;
    this.contentType = contentType;
  }
}

/** An answer that goes on until one side ends it. */
export class Streamed {
  readonly contentType: string;
  /** Begins to write; returns what is to be done when the other side is gone. */
  readonly begin: (sink: Sink) => () => void;

  constructor(contentType: string, begin: (sink: Sink) => () => void) {
    this.contentType = contentType;
    this.begin = begin;
  }
}
