/**
 * Trigger kind `on`: what happens to devices, uplinks, handlers, the gateway and files. Who wants what is here; what
 * happens is told to notices.ts.
 */
import { Fault } from "../fault.ts";
import { innerKey } from "./inner.ts";
import type { KeyOf } from "./key.ts";
import type { Trigger, TriggerConfig } from "./triggers.ts";

/** What can be waited for. What each one says in its data is in handler.d.ts and docs/triggers.md. */
export const NOTICES = [
  "device.connected",
  "device.disconnected",
  "device.subscribed",
  "uplink.up",
  "uplink.down",
  "uplink.full",
  "handler.failed",
  "handler.rolled-back",
  "gateway.started",
  "file.changed",
] as const;
export type Notice = (typeof NOTICES)[number];

export interface OnConfig {
  readonly what: string;
  /** Of `file.changed`: the folder, absolute. */
  readonly folder?: string | undefined;
}

const START = "$on/";

export class OnTrigger implements Trigger {
  readonly kind = "on";
  readonly #wants = new Map<number, readonly OnConfig[]>();
  /** Called when what is wanted has changed. */
  onChange: () => void = () => undefined;

  bind(handler: number, config: TriggerConfig): KeyOf | undefined {
    const { on = [] } = config;
    const unknown = on.find(({ what }) => !(NOTICES as readonly string[]).includes(what));
    if (unknown !== undefined) {
      throw new Fault("TRIGGER_ON_UNKNOWN", `nothing is called ${unknown.what}; there are: ${NOTICES.join(", ")}`);
    }
    if (on.length === 0) {
      this.unbind(handler);
      return undefined;
    }
    // At once: a folder that is watched all the time is not looked at as if for the first time.
    this.#wants.set(handler, on);
    this.onChange();
    return innerKey(config);
  }

  unbind(handler: number): void {
    if (this.#wants.delete(handler)) this.onChange();
  }

  match(topic: string): readonly number[] {
    if (!topic.startsWith(START)) return [];
    const end = topic.indexOf("/", START.length);
    const what = topic.slice(START.length, end);
    const subject = topic.slice(end + 1);
    const isWanted = (on: OnConfig): boolean =>
      on.what === what && (on.folder === undefined || subject.startsWith(`${on.folder}/`));
    return [...this.#wants]
      .filter(([, wants]) => wants.some(isWanted))
      .map(([handler]) => handler)
      .sort((a, b) => a - b);
  }

  /** Whether anybody waits for it: where nobody does, nobody need look. */
  wants(what: Notice): boolean {
    return [...this.#wants.values()].some((wants) => wants.some((on) => on.what === what));
  }

  /** Folders of which somebody wants to hear. */
  get folders(): ReadonlySet<string> {
    return new Set([...this.#wants.values()].flat().flatMap(({ folder }) => folder ?? []));
  }
}
