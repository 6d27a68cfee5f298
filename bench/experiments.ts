/** Which experiment takes which figures. An experiment is run once for all of its figures that are asked for. */
import { ackLatency } from "./ack-latency.ts";
import { deploys } from "./deploys.ts";
import type { Readings } from "./figures.ts";
import { manyDevices, manyHandlers } from "./flatness.ts";
import { backlog, idleMemory } from "./memory.ts";
import { rates } from "./rates.ts";
import { coldHandler, runnerKilled } from "./runners.ts";
import { tryingOut } from "./trying-out.ts";

export interface Experiment {
  readonly figures: readonly string[];
  /** `asked` has at least one of `figures`; others need not be taken. */
  readonly run: (asked: ReadonlySet<string>) => Promise<Readings>;
}

export const EXPERIMENTS: readonly Experiment[] = [
  { figures: ["rate-vs-aedes", "rate-vs-node-red"], run: rates },
  { figures: ["ack-latency"], run: ackLatency },
  { figures: ["cold-handler"], run: coldHandler },
  { figures: ["runner-killed"], run: runnerKilled },
  { figures: ["idle-memory", "idle-handler"], run: idleMemory },
  { figures: ["backlog-memory", "backlog-start"], run: backlog },
  { figures: ["many-handlers"], run: manyHandlers },
  { figures: ["many-devices"], run: manyDevices },
  { figures: ["save-to-live", "deploy-to-live"], run: deploys },
  { figures: ["test-start", "invoke-round"], run: tryingOut },
];
