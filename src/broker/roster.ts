/**
 * Who is here: all connections, the seat that each device has, the logins that wait their turn, and the one timer that
 * looks after all of them.
 *
 * R1  A device has one connection. A new one ends the old [MQTT-3.1.4-2] and waits until all that the old one sent is
 *     committed and aedes has let go of it: order and QoS 2 claims carry over from one to the next without a gap.
 * R2  Timeouts are kept by one coarse timer: they come up to TICK_MS late, never early.
 * R3  Where there are as many connections that have not logged in as may be, a new one takes the place of one that says
 *     nothing; of none whose login is under way.
 */
import type { Clock } from "../time.ts";
import type { Gate } from "./gate.ts";

const TICK_MS = 250;

export class Roster {
  readonly #clock: Clock;
  readonly #loginsPerTick: number;
  readonly #timer: NodeJS.Timeout;
  readonly #gates = new Set<Gate>();
  /** Those of which no CONNECT was seen when it was looked last, longest there first. */
  readonly #silent = new Set<Gate>();
  readonly #seats = new Map<string, Gate>();
  readonly #heirs = new Map<string, { readonly gate: Gate; readonly seated: (given: boolean) => void }>();
  readonly #turns: (() => void)[] = [];
  readonly #onTick: () => void;
  #loginsLeft: number;
  /** Gates that stopped reading until the journal, or the local delivery, has room. */
  readonly #waiting = { room: new Set<Gate>(), local: new Set<Gate>() };

  constructor(clock: Clock, connectRateMax: number, onTick: () => void) {
    this.#onTick = onTick;
    this.#clock = clock;
    this.#loginsPerTick = Math.max(1, Math.round((connectRateMax * TICK_MS) / 1000));
    this.#loginsLeft = this.#loginsPerTick;
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
    this.#timer.unref();
  }

  get gates(): ReadonlySet<Gate> {
    return this.#gates;
  }

  get seats(): number {
    return this.#seats.size;
  }

  holder(device: string): Gate | undefined {
    return this.#seats.get(device);
  }

  enter(gate: Gate): void {
    this.#gates.add(gate);
    this.#silent.add(gate);
  }

  /** Its CONNECT has come. */
  spoke(gate: Gate): void {
    this.#silent.delete(gate);
  }

  /**
   * R3. Ends the connection that has been without a CONNECT for longest: a device sends its own at once, and whoever holds
   * connections open to keep others out does not. False: all have sent theirs, and wait their turn.
   */
  crowdOut(): boolean {
    for (const gate of this.#silent) {
      this.#silent.delete(gate);
      if (!gate.isLoggingIn) continue;
      gate.abandon();
      return true;
    }
    return false;
  }

  leave(gate: Gate): void {
    this.#gates.delete(gate);
    this.#silent.delete(gate);
    this.#waiting.room.delete(gate);
    this.#waiting.local.delete(gate);
  }

  /** Resolves when a login may go on: `connectRateMax` a second. */
  turn(): Promise<void> | undefined {
    if (this.#loginsLeft > 0) {
      this.#loginsLeft--;
      return undefined;
    }
    return new Promise((resolve) => this.#turns.push(resolve));
  }

  /** R1. False: an even newer connection of the device came while this one waited. */
  seat(device: string, gate: Gate): boolean | Promise<boolean> {
    const holder = this.#seats.get(device);
    if (holder === undefined) {
      this.#seats.set(device, gate);
      return true;
    }
    this.#heirs.get(device)?.seated(false);
    return new Promise((seated) => {
      this.#heirs.set(device, { gate, seated });
      holder.takenOver();
    });
  }

  /** The gate is over: closed, nothing in flight, unknown to aedes. */
  vacate(device: string, gate: Gate): void {
    if (this.#seats.get(device) !== gate) return;
    this.#seats.delete(device);
    const heir = this.#heirs.get(device);
    if (heir === undefined) return;
    this.#heirs.delete(device);
    if (heir.gate.isLoggingIn) this.#seats.set(device, heir.gate);
    heir.seated(heir.gate.isLoggingIn);
  }

  waitFor(what: "room" | "local", gate: Gate): void {
    this.#waiting[what].add(gate);
  }

  /** Lets those who waited go on, longest waiting first, until one uses the room up and goes to the end. */
  roomFor(what: "room" | "local"): void {
    const waiting = this.#waiting[what];
    const gates = [...waiting];
    for (const gate of gates) {
      waiting.delete(gate);
      gate.release(what);
      if (waiting.has(gate)) return;
    }
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #tick(): void {
    const now = this.#clock.monotonic();
    this.#loginsLeft = this.#loginsPerTick;
    while (this.#loginsLeft > 0 && this.#turns.length > 0) {
      this.#loginsLeft--;
      this.#turns.shift()?.();
    }
    for (const gate of this.#gates) gate.tick(now);
    this.#onTick();
  }
}
