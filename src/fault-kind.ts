/** Leaf: what the table of faults says of each code. */

/** Whose move it is: the operator's config, the user's code, the peer, the box, or ours. */
export type Blame = "config" | "handler" | "peer" | "box" | "usage" | "sluice";

export interface FaultKind {
  readonly blame: Blame;
  /** Whether the same thing may succeed later without anybody changing anything. */
  readonly passing: boolean;
  readonly remedy: string;
}

export const kind = (blame: Blame, passing: boolean, remedy: string): FaultKind => ({ blame, passing, remedy });
