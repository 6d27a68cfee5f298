/**
 * Double: what the control room asks of a gateway, without one. Status and figures are constants that a test may change;
 * dead letters are a list in memory, where the journal has rows. Redriving one takes it away at once.
 */
import type { ControlSource, DeadLetter, Status } from "../../src/control/control.ts";
import type { Figures } from "../../src/control/figures.ts";
import type { HandlerAnswer } from "../../src/control/handler-shapes.ts";
import { Stream } from "../../src/control/stream.ts";
import { Fault } from "../../src/fault.ts";
import { systemClock } from "../../src/time.ts";

export class MemorySource implements ControlSource {
  /** State of `overheat`, by key. */
  readonly remembered = new Map<string, string>();
  readonly states: ControlSource["states"] = {
    list: async ({ handler, after = "", limit }) => {
      if (handler !== "overheat") return undefined;
      const keys = [...this.remembered.keys()].filter((key) => key > after).toSorted();
      return keys.slice(0, limit).map((key) => this.#stateOf(key));
    },
    get: async (_, key) => (this.remembered.has(key) ? this.#stateOf(key) : undefined),
    remove: async (_, key) => this.remembered.delete(key),
  };

  #stateOf(key: string): { key: string; value: string; timeMs: number; version: number } {
    return { key, value: this.remembered.get(key) ?? "null", timeMs: 1_000_000, version: 3 };
  }

  /** Two readers at the most. */
  readonly stream = new Stream(systemClock, 2);
  reasons: string[] = [];
  /** Why nothing may be changed. */
  refusal: Fault | undefined;
  letters: DeadLetter[] = [];
  readonly redriven: string[] = [];
  readonly dropped: string[] = [];
  /** Thrown by status(), when set. */
  broken: Error | undefined;

  status(): Status {
    if (this.broken !== undefined) throw this.broken;
    return {
      gateway: "edge-1",
      version: "0.0.0",
      journalId: "0a1b2c3d",
      startedMs: 1_000_000,
      ledger: {
        events: { accepted: 10, done: 6, dead: 2, expired: 0, dropped: 1, pending: 1 },
        uplinks: { cloud: { emitted: 7, delivered: 4, expired: 0, dropped: 0, rejected: 1, waiting: 2 } },
      },
      unmatched: 3,
      handlers: [
        {
          name: "overheat",
          triggers: ["topic plant/+"],
          version: 2,
          waiting: 1,
          parked: 0,
          running: 0,
          removed: false,
          quarantinedMs: 0,
          proven: true,
          onProbation: false,
          failure: undefined,
        },
      ],
      uplinks: [{ name: "cloud", kind: "file", state: "idle", healthy: true, waiting: 2, waitingBytes: 300 }],
      journal: { bytes: 4096, sizeMaxBytes: 2 ** 31 },
      damage: [],
    };
  }

  readonly watched: HandlerAnswer[] = [];

  handlers(): readonly HandlerAnswer[] {
    return this.watched;
  }

  readonly asked: unknown[] = [];
  readonly versions: ControlSource["versions"] = {
    list: async (name) => {
      if (name !== "overheat") throw new Fault("CONTROL_NOT_FOUND", `there is no handler ${name}`);
      return { name, live: { version: 2, done: 5, failed: 1 }, before: 1, versions: [], history: [] };
    },
    deploy: async (upload) => {
      this.asked.push(upload);
      return {
        name: upload.name,
        version: 3,
        at: upload.share === undefined ? "live" : upload.share > 0 ? "canary" : "shadow",
        before: 2,
      };
    },
    promote: async (name, by) => {
      this.asked.push(["promote", name, by]);
      return { name, version: 3, at: "live", before: 2 };
    },
    rollBack: async (name, to) => {
      this.asked.push(["rollBack", name, to]);
      return { name, version: 1, at: "live" };
    },
    remove: async (name, by) => {
      this.asked.push(["remove", name, by]);
      return 4;
    },
  };

  ready(): readonly string[] {
    return this.reasons;
  }

  assertTakesChanges(): void {
    if (this.refusal !== undefined) throw this.refusal;
  }

  figures(): Figures {
    return {
      journal: ones({ dropped: { full: 3, damaged: 0, asked: 0, dead: 0 }, stateBytesOf: { overheat: 512 } }),
      sandbox: ones({ logLinesDropped: { overheat: 7 } }),
      egress: {
        inFlight: 1,
        bytesHeld: 2,
        handlers: { overheat: { ends: { answered: 5, denied: 6 }, sentBytes: 7, receivedBytes: 8 } },
      },
      deployments: ones({}),
      broker: ones({ refusedLogins: { access: 2 }, published: [0, 12, 3] }),
      uplinks: {
        cloud: {
          sent: 5,
          resent: 1,
          batches: 2,
          outstanding: 0,
          faults: 0,
          breakerOpened: 0,
          waitingBytes: 300,
          healthy: true,
        },
      },
      stream: this.stream.figures(),
      replays: { running: 1, events: 64, sent: 12 },
      triggers: { ticks: 41, missed: 3, rewound: 0, calls: { taken: 5 }, notices: 2, suppressed: { rate: 1 } },
      pipeline: {
        runners: 1,
        handlers: [
          {
            name: "overheat",
            retried: 4,
            budgets: { time: 2 },
            heldBackMs: 1500,
            recent: {
              heapBytes: 3_000_000,
              boundsMs: [1, 2, 3, 4, 5],
              total: { events: 21, tookMs: 90, cpuMs: 250, counts: [1, 2, 3, 4, 5, 6] },
            },
          },
        ],
      },
    };
  }

  /** Two tasks wait for each. */
  readonly gone = new Set<string>();

  async dropTasks(handler: string): Promise<number> {
    if (handler === "overheat") throw new Fault("CONTROL_DEPLOYED", "overheat is there");
    return this.gone.delete(handler) ? 2 : 0;
  }

  readonly replays = {
    start: notHere,
    list: () => [],
    get: notHere,
    cancel: notHere,
    resume: notHere,
  };

  readonly dead = {
    list: async ({
      handler,
      after,
      limit,
    }: {
      handler?: string | undefined;
      after?: string | undefined;
      limit: number;
    }) =>
      this.letters
        .filter(
          (letter) =>
            (handler === undefined || letter.handler === handler) && (after === undefined || letter.id > after),
        )
        .slice(0, limit),
    get: async (id: string) => this.letters.find((letter) => letter.id === id),
    redrive: async (id: string) => this.#take(id, this.redriven),
    drop: async (id: string) => this.#take(id, this.dropped),
  };

  #take(id: string, to: string[]): boolean {
    const index = this.letters.findIndex((letter) => letter.id === id);
    if (index < 0) return false;
    this.letters.splice(index, 1);
    to.push(id);
    return true;
  }
}

export function deadLetter(n: number, part: Partial<DeadLetter> = {}): DeadLetter {
  return {
    id: `d${String(n).padStart(6, "0")}`,
    kind: "task",
    handler: "overheat",
    version: 2,
    uplink: undefined,
    event: `0a1b2c3d-${n}`,
    topic: "plant/a/press/temperature",
    key: "press",
    attempt: 5,
    timeMs: 1_700_000_000_000 + n,
    failure: {
      code: "HANDLER_THREW",
      message: "no such press",
      stack: "Error: no such press\n    at handlers/overheat.ts:3:9",
    },
    payload: Buffer.from(`{"c":${n}}`),
    source: { device: "press-1", timeMs: 1_700_000_000_000 },
    ...part,
  };
}

function notHere(): never {
  throw new Fault("CONTROL_NOT_FOUND", "there is none");
}

/** Figures that are all 1, but for those given. */
function ones(given: object): never {
  return new Proxy(given, { get: (target, name) => Reflect.get(target, name) ?? 1 }) as never;
}
