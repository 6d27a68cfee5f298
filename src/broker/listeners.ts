/**
 * Where devices connect: TCP servers on the configured URLs.
 */
import { lookup } from "node:dns/promises";
import { createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { Fault, messageOf } from "../fault.ts";
import { BEYOND, isLoopback, readListenerUrl } from "./listener-url.ts";

export interface Address {
  readonly url: string;
  /** The one that was taken when the URL says 0. */
  readonly port: number;
}

/** Connections that the kernel keeps for us while we are busy. */
const BACKLOG = 1024;

export class Listeners {
  readonly #servers: readonly Server[];
  readonly addresses: readonly Address[];

  private constructor(servers: readonly Server[], addresses: readonly Address[]) {
    this.#servers = servers;
    this.addresses = addresses;
  }

  /**
   * Throws BROKER_LISTENER_INVALID, BROKER_LISTENER_OPEN or BROKER_LISTENER_FAILED; then nothing listens.
   */
  static async open(urls: readonly string[], connected: (socket: Socket) => void): Promise<Listeners> {
    const servers: Server[] = [];
    const addresses: Address[] = [];
    try {
      for (const url of urls) {
        const { host, port } = readUrl(url);
        const ip = await loopbackAddress(url, host);
        const server = createServer({ noDelay: true, allowHalfOpen: true }, connected);
        servers.push(server);
        addresses.push({ url, port: await listen(server, url, ip, port) });
      }
    } catch (error) {
      for (const server of servers) server.close();
      throw error;
    }
    return new Listeners(servers, addresses);
  }

  /** Takes no more connections. Those that are open stay open. */
  close(): void {
    for (const server of this.#servers) server.close();
  }
}

/** Throws BROKER_LISTENER_INVALID or BROKER_LISTENER_OPEN. */
function readUrl(text: string): { host: string; port: number } {
  const url = readListenerUrl(text);
  if (url.at === "flawed") throw new Fault(url.code, `a listener's URL ${url.message}`, { where: text });
  return url;
}

/** The host's address, which is loopback (G8). */
async function loopbackAddress(url: string, host: string): Promise<string> {
  const found = await lookup(host).catch((cause: unknown) => {
    throw new Fault("BROKER_LISTENER_FAILED", `the host cannot be resolved: ${messageOf(cause)}`, {
      where: url,
      cause,
    });
  });
  if (!isLoopback(found.address)) throw new Fault("BROKER_LISTENER_OPEN", `a listener ${BEYOND}`, { where: url });
  return found.address;
}

function listen(server: Server, url: string, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", (cause) => {
      reject(new Fault("BROKER_LISTENER_FAILED", `cannot listen: ${cause.message}`, { where: url, cause }));
    });
    server.listen({ host, port, backlog: BACKLOG }, () => {
      server.removeAllListeners("error");
      // Accepting may fail for want of file descriptors: that connection is lost, the listener is not.
      server.on("error", () => {});
      resolve((server.address() as AddressInfo).port);
    });
  });
}
