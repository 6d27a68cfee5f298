/** What deployments need of the rooms around them. */
import type { Fault } from "../fault.ts";
import type { Log } from "../log.ts";
import type { Clock } from "../time.ts";
import type { Suggest } from "./compose.ts";
import type { Candidate, Inspection, LiveHandler } from "./handler.ts";
import type { RolloutDoors } from "./rollout-doors.ts";
import type { HandlersSettings } from "./settings.ts";

export interface DeploymentsOptions {
  /** The `handlers` section of the config; `dir` is absolute. */
  readonly handlers: HandlersSettings;
  /** Where versions are kept: `<data>/deployments`. Undefined: nothing is kept, and every version is number 0. */
  readonly folder: string | undefined;
  readonly clock: Clock;
  readonly log: Log;
  readonly suggest?: Suggest;
  readonly inspect: (candidate: Candidate) => Promise<Inspection>;
  /** Makes it the one that runs. Rejecting with a Fault leaves the one before it live (D1). */
  readonly live: (handler: LiveHandler) => Promise<void>;
  /** Loads what went live with `loadsLater`, and says why it does not load. Without it that is done with its first event. */
  readonly warm?: (handler: LiveHandler) => Promise<Fault | undefined>;
  /** Its source is gone. Says how many tasks wait for it. */
  readonly removed: (name: string) => number;
  /** A version that did not go live. Logged already. */
  readonly failed: (name: string, fault: Fault) => void;
  /** What `failed` told last of the name holds no more, and no version went live for it: its source is as it was, or gone. */
  readonly mended: (name: string) => void;
  /** What was decided about a version that was watched. */
  readonly decided?: RolloutDoors["decided"];
  readonly takeBack: RolloutDoors["takeBack"];
  readonly letterMark: RolloutDoors["letterMark"];
}
