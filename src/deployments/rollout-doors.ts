/** What one handler's rollout needs of those around it, and tells them. */
import type { Fault } from "../fault.ts";
import type { BooksDoors } from "./books.ts";
import type { LiveHandler } from "./handler.ts";
import type { MakerDoors } from "./maker.ts";

export interface RolloutDoors extends MakerDoors, BooksDoors {
  readonly live: (handler: LiveHandler) => Promise<void>;
  readonly warm: (handler: LiveHandler) => Promise<Fault | undefined>;
  readonly failed: (name: string, fault: Fault) => void;
  readonly mended: (name: string) => void;
  readonly decided: (name: string, decision: Decision) => void;
}

/** What became of a version that was on probation, or tried. That it went live, or was rolled back, is told otherwise. */
export interface Decision {
  readonly what: "passed" | "dropped";
  readonly version: number;
  readonly why?: string;
}

export interface Figures {
  deploys: number;
  failures: number;
  rollbacks: number;
}
