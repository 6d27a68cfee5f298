/**
 * Connections of the control server: as many as may be, and who makes way when there are more (C7).
 *
 * What a connection is for is not known before it has asked. So a new one always gets in, and the one goes that nothing is
 * worked on for, and has been so for longest: it is idle, or sends its request slowly, as those do that are opened to keep
 * others out. What bears a token is worked on from its head to the end of its answer; a webhook's call while its event is
 * on its way to the disk. Where all are worked on the new one is closed.
 *
 * A connection has one request at a time: one that asks again before it was answered is closed (C8). A thousand requests
 * fit into what is read at once, and would be worked on at once, while devices wait.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Log } from "../log.ts";
import type { Clock } from "../time.ts";

const TELL_MS = 60_000;

export class Connections {
  readonly #max: number;
  readonly #clock: Clock;
  readonly #log: Log;
  /** Requests that are worked on; 0 of those that may make way. */
  readonly #requests = new Map<Socket, number>();
  /** Those with 0, the one that is so for longest first. */
  readonly #idle = new Set<Socket>();
  /** Those whose request has not been answered in full. */
  readonly #asking = new WeakSet<Socket>();
  #toldMs = -Infinity;
  /** Those that made way, or were closed at once for nobody did. */
  #crowdedOut = 0;

  constructor(max: number, clock: Clock, log: Log) {
    this.#max = max;
    this.#clock = clock;
    this.#log = log;
  }

  readonly enter = (socket: Socket): void => {
    if (this.#requests.size >= this.#max) {
      this.#tell();
      this.#crowdedOut++;
      const [longest = socket] = this.#idle;
      this.#leave(longest);
      longest.destroy();
      if (longest === socket) return;
    }
    this.#requests.set(socket, 0);
    this.#idle.add(socket);
    socket.on("close", () => this.#leave(socket));
  };

  figures(): { readonly open: number; readonly crowdedOut: number } {
    return { open: this.#requests.size, crowdedOut: this.#crowdedOut };
  }

  /** False: the connection asks before it was answered, and is closed (C8). */
  takes({ socket }: IncomingMessage, answer: ServerResponse): boolean {
    if (socket.destroyed || this.#asking.has(socket)) {
      socket.destroy();
      return false;
    }
    this.#asking.add(socket);
    answer.once("close", () => this.#asking.delete(socket));
    return true;
  }

  /** A request is worked on; returns how that ends. */
  begin(socket: Socket): () => void {
    this.#count(socket, 1);
    let isOver = false;
    return () => {
      if (isOver) return;
      isOver = true;
      this.#count(socket, -1);
    };
  }

  #count(socket: Socket, by: 1 | -1): void {
    const requests = this.#requests.get(socket);
    if (requests === undefined) return; // It has gone meanwhile.
    this.#requests.set(socket, requests + by);
    if (requests + by === 0) this.#idle.add(socket);
    else this.#idle.delete(socket);
  }

  #leave(socket: Socket): void {
    this.#requests.delete(socket);
    this.#idle.delete(socket);
  }

  #tell(): void {
    const nowMs = this.#clock.monotonic();
    if (nowMs - this.#toldMs < TELL_MS) return;
    this.#toldMs = nowMs;
    this.#log.warn(
      { connectionsMax: this.#max },
      "as many connections to the control port as may be: those that wait longest make way for new ones",
    );
  }
}
