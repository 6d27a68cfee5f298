/**
 * Connections: kept alive, bounded, and made to no address that the grant does not reach. A name is looked up when a
 * connection is made, and the connection goes to the very addresses that were looked at: between the two nothing is
 * asked again, so a name that is answered differently the next time gains nothing.
 */
import { lookup as systemLookup } from "node:dns";
import type { LookupAddress, LookupOptions } from "node:dns";
import { Agent as HttpsAgent } from "node:https";
import type { LookupFunction } from "node:net";
import { Agent as HttpAgent } from "../http.ts";
import { isLoopback, reachOf } from "./addresses.ts";

export type Lookup = (
  hostname: string,
  options: LookupOptions & { readonly all: true },
  callback: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void;

/** Below the 5 s after which many servers close an idle connection: one that is used just then is lost. */
const IDLE_MS = 4000;
/** Idle connections to one host. */
const IDLE_MAX = 8;

/** The name resolves to nothing that the grant reaches. */
export class AddressRefused extends Error {
  readonly hostname: string;
  readonly addresses: readonly string[];

  constructor(hostname: string, addresses: readonly string[]) {
    super(`${hostname} resolves to ${addresses.join(", ")}`);
    this.hostname = hostname;
    this.addresses = addresses;
  }
}

interface Agents {
  readonly http: HttpAgent;
  readonly https: HttpsAgent;
}

export class Connections {
  /** Apart, because a connection that is idle is given to whoever asks for its host next. */
  readonly #public: Agents;
  readonly #private: Agents;
  readonly #lookup: Lookup;
  /** Lookups under way, by name: each may hold one of the few threads that the system's resolver has. */
  readonly #asked = new Map<string, Promise<LookupAddress[]>>();

  constructor(lookup: Lookup = systemLookup) {
    this.#lookup = lookup;
    this.#public = this.#agents(false);
    this.#private = this.#agents(true);
  }

  agent(protocol: string, mayBePrivate: boolean): HttpAgent {
    const agents = mayBePrivate ? this.#private : this.#public;
    return protocol === "https:" ? agents.https : agents.http;
  }

  close(): void {
    for (const { http, https } of [this.#public, this.#private]) {
      http.destroy();
      https.destroy();
    }
  }

  #agents(mayBePrivate: boolean): Agents {
    const options = {
      keepAlive: true,
      maxFreeSockets: IDLE_MAX,
      timeout: IDLE_MS,
      lookup: this.#guarded(mayBePrivate),
    };
    return { http: new HttpAgent(options), https: new HttpsAgent(options) };
  }

  /** Numeric addresses do not come here: who names one in a grant means it. */
  #guarded(mayBePrivate: boolean): LookupFunction {
    return (hostname, options, callback) => {
      this.#addresses(hostname).then(
        (found) => {
          const fitting = found.filter(({ address }) => isReached(hostname, address, mayBePrivate));
          const [first] = fitting;
          if (first === undefined) {
            const refused = found.map(({ address }) => address);
            callback(new AddressRefused(hostname, refused), []);
          } else if (options.all === true) {
            callback(null, fitting);
          } else {
            callback(null, first.address, first.family);
          }
        },
        (error: NodeJS.ErrnoException) => callback(error, []),
      );
    };
  }

  #addresses(hostname: string): Promise<LookupAddress[]> {
    const known = this.#asked.get(hostname);
    if (known !== undefined) return known;
    const asked = new Promise<LookupAddress[]>((resolve, reject) => {
      this.#lookup(hostname, { all: true }, (error, addresses) => {
        if (error === null) resolve(addresses);
        else reject(error);
      });
    }).finally(() => this.#asked.delete(hostname));
    this.#asked.set(hostname, asked);
    return asked;
  }
}

function isReached(hostname: string, address: string, mayBePrivate: boolean): boolean {
  // Whoever grants localhost means this box, and nothing else that a file of hosts may make of it.
  if (hostname === "localhost") return isLoopback(address);
  const reach = reachOf(address);
  return reach === "public" || (mayBePrivate && reach === "private");
}
