/** What becomes of events, for the person who writes the handler and has the gateway run beside (`sluice dev`). */
import { isUtf8 } from "node:buffer";
import { eventRecord } from "../event.ts";
import type { Failure, Output } from "../task.ts";
import type { Ended, Outcomes } from "../tasks/outcomes.ts";

export interface Shown {
  readonly handler: string;
  readonly topic: string;
  /** `to`: uplinks, or the topic that it was published to; `data` is cut. */
  readonly sent: readonly { readonly to: string; readonly data: string }[];
  /** It failed, and will be tried again. */
  readonly failure?: Failure;
}

const OUTPUTS_MAX = 10;
const DATA_BYTES_MAX = 400;

/** Both at a time: what is told to others, and what is shown here. */
export class Showing implements Outcomes {
  readonly isWatched = true;
  readonly #others: Outcomes;
  readonly #show: (shown: Shown) => void;
  readonly #uplinkName: (id: number) => string;

  constructor(others: Outcomes, show: (shown: Shown) => void, uplinkName: (id: number) => string) {
    this.#others = others;
    this.#show = show;
    this.#uplinkName = uplinkName;
  }

  done(what: Ended, outputs: readonly Output[]): void {
    if (this.#others.isWatched) this.#others.done(what, outputs);
    if (outputs.length === 0) return;
    const sent = outputs.slice(0, OUTPUTS_MAX).map(({ to, topic, data }) => ({
      to: topic === "" ? to.map(this.#uplinkName).join(", ") : topic,
      data: shortened(data),
    }));
    const more = outputs.length - sent.length;
    if (more > 0) sent.push({ to: "…", data: `${more} more outputs of this event` });
    this.#show({ handler: what.handler, topic: topicOf(what), sent });
  }

  failed(what: Ended, failure: Failure, more: { readonly tries: number; readonly letter: string | undefined }): void {
    this.#others.failed(what, failure, more);
    // A dead letter has a line in the log.
    if (what.status === "retry") this.#show({ handler: what.handler, topic: topicOf(what), sent: [], failure });
  }
}

function topicOf({ task }: Ended): string {
  return eventRecord.topic(task.page, task.at);
}

function shortened(data: Uint8Array): string {
  if (!isUtf8(data)) return `${data.length} bytes`;
  if (data.length <= DATA_BYTES_MAX) return Buffer.from(data).toString();
  // The last character may be half of one.
  return `${Buffer.from(data.subarray(0, DATA_BYTES_MAX)).toString().slice(0, -1)}…`;
}
