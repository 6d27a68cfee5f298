/**
 * What the broker needs of the rest of the gateway: somebody who accepts events. The pipeline implements it.
 */
import type { EventDraft } from "../event.ts";
import type { Fault } from "../fault.ts";

export interface Receiver {
  /** What was accepted or released under `tag` is on disk (fault undefined), or never will be. */
  committed(tag: number, fault: Fault | undefined): void;
}

/**
 * later: too much waits for the disk, nothing was taken, try again after `onRoom`. refused: the journal is full or
 * failing.
 */
export type Admission = "taken" | "later" | "refused";

export interface Ingress {
  /** `committed` may be called before this returns. With `packetId` the event is a QoS 2 publish and claims that id. */
  accept(event: EventDraft, receiver: Receiver, tag: number, packetId?: number): Admission;
  /** QoS 2 packet ids of this device whose event is in the journal and whose PUBREL is still to come. */
  claimed(device: string): ReadonlySet<number>;
  /** Devices that have claims; a snapshot. */
  claimants(): Iterable<string>;
  release(device: string, packetId: number, receiver: Receiver, tag: number): void;
  /** Releases all claims of the device: its session is over. */
  forget(device: string): void;
  /** Set by the broker; called once when `later` has ended. */
  onRoom: () => void;
}
