/**
 * Who subscribed to what: the filters of all sessions, online and offline, as one tree of levels.
 *
 * The hot path asks only how many want a topic, mostly none, so that aedes never sees a message nobody listens to;
 * the answer is kept per topic until `generation` moves (see topics.ts). An extra filter costs time, a missing one
 * would lose a message: a filter goes in before its SUBACK and leaves after its session has.
 */

interface Node {
  readonly below: Map<string, Node>;
  /** Device → QoS of the subscriptions that end here, and of those that end here with `/#`. */
  readonly here: Map<string, number>;
  readonly rest: Map<string, number>;
}

const emptyNode = (): Node => ({ below: new Map(), here: new Map(), rest: new Map() });

export class Filters {
  #root = emptyNode();
  /** Device → filter → QoS. */
  readonly #devices = new Map<string, Map<string, number>>();
  #count = 0;

  /** Moves whenever an answer of {@link audience} may have changed. */
  generation = 0;

  /** Subscriptions of all sessions. */
  get count(): number {
    return this.#count;
  }

  /** The filters of one session, with their QoS. */
  of(device: string): ReadonlyMap<string, number> {
    return this.#devices.get(device) ?? NONE;
  }

  add(device: string, filter: string, qos: number): void {
    let own = this.#devices.get(device);
    if (own === undefined) this.#devices.set(device, (own = new Map()));
    if (!own.has(filter)) this.#count++;
    own.set(filter, qos);
    const levels = filter.split("/");
    const rest = levels.at(-1) === "#";
    if (rest) levels.pop();
    let node = this.#root;
    for (const level of levels) {
      let next = node.below.get(level);
      if (next === undefined) node.below.set(level, (next = emptyNode()));
      node = next;
    }
    (rest ? node.rest : node.here).set(device, qos);
    this.generation++;
  }

  remove(device: string, filter: string): void {
    const own = this.#devices.get(device);
    if (own === undefined || !own.delete(filter)) return;
    if (own.size === 0) this.#devices.delete(device);
    this.#count--;
    removeFrom(this.#root, filter.split("/"), 0, device);
    this.generation++;
  }

  removeAll(device: string): void {
    for (const filter of [...this.of(device).keys()]) this.remove(device, filter);
  }

  /** How many subscriptions match `topic`: as many deliveries at the most. 0: nobody wants it. */
  audience(topic: string): number {
    let count = 0;
    visit(this.#root, topic.split("/"), 0, (subscribers) => {
      count += subscribers.size;
    });
    return count;
  }

  /** The sessions that want `topic`, each with the highest QoS of its filters that match [MQTT-3.3.5-1]. */
  subscribers(topic: string): Map<string, number> {
    const found = new Map<string, number>();
    visit(this.#root, topic.split("/"), 0, (subscribers) => {
      for (const [device, qos] of subscribers) found.set(device, Math.max(qos, found.get(device) ?? 0));
    });
    return found;
  }
}

const NONE: ReadonlyMap<string, number> = new Map();

/** Shows `see` each non-empty set of subscribers that matches. */
function visit(
  node: Node,
  levels: readonly string[],
  depth: number,
  see: (subscribers: ReadonlyMap<string, number>) => void,
): void {
  const level = levels[depth];
  // Wildcards in the first level do not match topics that start with $ [MQTT-4.7.2-1].
  const wild = depth > 0 || levels[0]?.startsWith("$") !== true;
  if (wild && node.rest.size > 0) see(node.rest);
  if (level === undefined) {
    if (node.here.size > 0) see(node.here);
    return;
  }
  const exact = node.below.get(level);
  if (exact !== undefined) visit(exact, levels, depth + 1, see);
  const plus = wild ? node.below.get("+") : undefined;
  if (plus !== undefined) visit(plus, levels, depth + 1, see);
}

/** Removes the subscription and the branches that it leaves bare. */
function removeFrom(node: Node, levels: readonly string[], depth: number, device: string): void {
  const level = levels[depth];
  if (level === undefined) {
    node.here.delete(device);
  } else if (level === "#") {
    node.rest.delete(device);
  } else {
    const next = node.below.get(level);
    if (next === undefined) return;
    removeFrom(next, levels, depth + 1, device);
    if (next.below.size === 0 && next.here.size === 0 && next.rest.size === 0) node.below.delete(level);
  }
}

/** Whether `filter`, which is well formed, matches `topic`. */
export function matches(filter: string, topic: string): boolean {
  if (filter === topic) return true;
  if (topic.startsWith("$") && !filter.startsWith("$")) return false;
  const wanted = filter.split("/");
  const levels = topic.split("/");
  for (let i = 0; i < wanted.length; i++) {
    if (wanted[i] === "#") return true;
    if (i >= levels.length || (wanted[i] !== "+" && wanted[i] !== levels[i])) return false;
  }
  return wanted.length === levels.length;
}
