/**
 * Claims: packet ids of QoS 2 messages that are in the journal and whose PUBREL has not come. A device may send such a
 * message again after a reconnect, or after we restarted; its claim says that it is here already [MQTT-4.3.3-10] (G1).
 *
 * All of them are in memory too, which is why there is a limit; a device has at most 65,535.
 */
import type { Group } from "./group.ts";
import { keys } from "./keys.ts";
import { seal, SEAL_BYTES } from "./seal.ts";

const NONE: ReadonlySet<number> = new Set();

export class Claims {
  readonly #max: number;
  readonly #devices = new Map<string, Set<number>>();
  count = 0;

  constructor(max: number) {
    this.#max = max;
  }

  /** At start. */
  found(device: string, packetId: number): void {
    this.#add(device, packetId);
  }

  get full(): boolean {
    return this.count >= this.#max;
  }

  of(device: string): ReadonlySet<number> {
    return this.#devices.get(device) ?? NONE;
  }

  /** Devices that have any. */
  get devices(): string[] {
    return [...this.#devices.keys()];
  }

  has(device: string, packetId: number): boolean {
    return this.#devices.get(device)?.has(packetId) ?? false;
  }

  stage(group: Group, device: string, packetId: number): void {
    const key = keys.claim(device, packetId);
    group.put(key, seal(key, Buffer.alloc(SEAL_BYTES)));
    this.#add(device, packetId);
  }

  unstage(group: Group, device: string, packetId: number): boolean {
    const claims = this.#devices.get(device);
    if (claims?.delete(packetId) !== true) return false;
    if (claims.size === 0) this.#devices.delete(device);
    this.count--;
    group.del(keys.claim(device, packetId));
    return true;
  }

  #add(device: string, packetId: number): void {
    let claims = this.#devices.get(device);
    if (claims === undefined) this.#devices.set(device, (claims = new Set()));
    if (claims.has(packetId)) return;
    claims.add(packetId);
    this.count++;
  }
}
