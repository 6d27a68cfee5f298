/**
 * Rig: the judge. It is given what the devices were promised, what the cloud holds and what the books say, and finds
 * everything that cannot be so.
 *
 * - O1 Every message that was acknowledged is at the cloud (G1).
 * - O2 An output's id comes again only as a whole duplicate of a delivery: the same line, to the byte (G3).
 * - O3 The first occurrences of a key's outputs are in the order in which its device sent the messages (G3).
 * - O4 The counters in the state are 1, 2, 3, … in a key's outputs: no task's state was saved without its output, or twice (G2).
 * - O5 A QoS 2 message made one event; a QoS 1 message made more than one only if its device sent it more than once (G1).
 * - O6 Nothing is torn, and no payload changed on the way (G1).
 * - O7 The ledger balances (G4), and its columns agree with what the cloud holds once all is delivered.
 * - O8 No device saw the gateway break MQTT's rules.
 */
import type { Arrivals, CloudLine } from "./cloud-lines.ts";
import type { Device } from "./device.ts";
import { isIntact } from "./fleet.ts";
import type { Ledger } from "./gateway-process.ts";

export interface Case {
  /** Device id → numbers of the messages that were acknowledged. */
  readonly promises: ReadonlyMap<string, readonly number[]>;
  readonly devices: readonly Device[];
  readonly arrivals: Arrivals;
  readonly ledger?: Ledger;
  /** The uplink that `arrivals` come from. */
  readonly uplink?: string;
  /** False where the handler keeps no counter. */
  readonly counted?: boolean;
  /** False where the books may hold more than the cloud: dead letters, drops, several handlers. */
  readonly allDelivered?: boolean;
}

export interface Finding {
  readonly published: number;
  readonly acked: number;
  /** Different ids at the cloud. */
  readonly unique: number;
  /** Lines at the cloud beyond the first of their id: deliveries that were repeated. */
  readonly repeats: number;
  readonly lost: number;
  /** Messages that became more than one event although the device sent them once, or at QoS 2. */
  readonly doubled: number;
  /** What cannot be so, a sentence each, the first few of each sort. Empty when all is well. */
  readonly wrongs: readonly string[];
}

const WRONGS_MAX = 5;

export function judge(given: Case): Finding {
  const wrongs = new Wrongs();
  const { unique, repeats } = firstOccurrences(given.arrivals, wrongs);
  const lost = findLost(given.promises, unique, wrongs);
  checkOrder(unique, given.counted ?? true, wrongs);
  const doubled = findDoubled(unique, given.devices, wrongs);
  for (const text of given.arrivals.torn) wrongs.add("O6", `the cloud holds a torn line: ${text.slice(0, 120)}`);
  for (const line of unique) {
    if (!isIntact(line.data))
      wrongs.add("O6", `the data of ${line.id} changed: ${JSON.stringify(line.data).slice(0, 200)}`);
  }
  if (given.ledger !== undefined) checkLedger(given, given.ledger, unique.length, wrongs);
  for (const device of given.devices) for (const complaint of device.complaints) wrongs.add("O8", complaint);
  return {
    published: given.devices.reduce((total, device) => total + device.published, 0),
    acked: [...given.promises.values()].reduce((total, numbers) => total + numbers.length, 0),
    unique: unique.length,
    repeats,
    lost,
    doubled,
    wrongs: wrongs.sentences(),
  };
}

/** Judges and throws unless all is well. */
export function expectSound(given: Case, context = ""): Finding {
  const finding = judge(given);
  if (finding.wrongs.length === 0) return finding;
  const { wrongs, ...figures } = finding;
  throw new Error(`${context}\n${wrongs.join("\n")}\n${JSON.stringify({ ...figures, ledger: given.ledger })}`);
}

/** What of a ledger does not add up; empty when it balances (G4). */
export function imbalances(ledger: Ledger): string[] {
  const found: string[] = [];
  const { accepted, done, dead, expired, dropped, pending } = ledger.events;
  if (accepted !== done + dead + expired + dropped + pending) found.push(`events: ${JSON.stringify(ledger.events)}`);
  for (const [name, uplink] of Object.entries(ledger.uplinks)) {
    const { emitted, delivered, rejected, waiting } = uplink;
    if (emitted !== delivered + uplink.expired + uplink.dropped + rejected + waiting) {
      found.push(`uplink ${name}: ${JSON.stringify(uplink)}`);
    }
  }
  for (const column of [ledger.events, ...Object.values(ledger.uplinks)]) {
    if (Object.values(column).some((count) => count < 0)) found.push(`a negative count: ${JSON.stringify(column)}`);
  }
  return found;
}

class Wrongs {
  readonly #bySort = new Map<string, string[]>();

  add(sort: string, sentence: string): void {
    const known = this.#bySort.get(sort);
    if (known === undefined) this.#bySort.set(sort, [sentence]);
    else known.push(sentence);
  }

  sentences(): string[] {
    return [...this.#bySort].flatMap(([sort, sentences]) => {
      const shown = sentences.slice(0, WRONGS_MAX).map((sentence) => `${sort}: ${sentence}`);
      return sentences.length > WRONGS_MAX ? [...shown, `${sort}: and ${sentences.length - WRONGS_MAX} more`] : shown;
    });
  }
}

function firstOccurrences(arrivals: Arrivals, wrongs: Wrongs): { unique: CloudLine[]; repeats: number } {
  const known = new Map<string, string>();
  const unique: CloudLine[] = [];
  let highest = -1;
  for (const line of arrivals.lines) {
    const text = JSON.stringify(line);
    const before = known.get(line.id);
    if (before === undefined) {
      known.set(line.id, text);
      unique.push(line);
      if (Number(line.sluiceseq) <= highest)
        wrongs.add("O3", `sluiceseq fell to ${line.sluiceseq} after ${highest} (${line.id})`);
      highest = Math.max(highest, Number(line.sluiceseq));
    } else if (before !== text) {
      wrongs.add("O2", `${line.id} came twice and different: ${before} and ${text}`);
    }
  }
  return { unique, repeats: arrivals.lines.length - unique.length };
}

function findLost(
  promises: ReadonlyMap<string, readonly number[]>,
  unique: readonly CloudLine[],
  wrongs: Wrongs,
): number {
  const arrived = numbersByDevice(unique);
  let lost = 0;
  for (const [device, numbers] of promises) {
    for (const n of numbers) {
      if (arrived.get(device)?.has(n) === true) continue;
      lost += 1;
      wrongs.add("O1", `${device} was promised message ${n}, and the cloud never got it`);
    }
  }
  return lost;
}

function checkOrder(unique: readonly CloudLine[], counted: boolean, wrongs: Wrongs): void {
  const byKey = new Map<string, { n: number; count: number; seen: Set<number> }>();
  for (const { id, sluicekey, data } of unique) {
    const before = byKey.get(sluicekey) ?? { n: 0, count: 0, seen: new Set<number>() };
    byKey.set(sluicekey, before);
    if (!before.seen.has(data.n)) {
      if (data.n < before.n) wrongs.add("O3", `${sluicekey}: message ${data.n} came after ${before.n} (${id})`);
      before.seen.add(data.n);
      before.n = Math.max(before.n, data.n);
    }
    if (counted && data.count !== before.count + 1) {
      wrongs.add("O4", `${sluicekey}: the counter went from ${before.count} to ${data.count} (${id})`);
    }
    before.count = data.count ?? before.count + 1;
  }
}

function findDoubled(unique: readonly CloudLine[], devices: readonly Device[], wrongs: Wrongs): number {
  const byId = new Map(devices.map((device) => [device.options.id, device]));
  const seen = new Set<string>();
  let doubled = 0;
  for (const { id, source, data } of unique) {
    const message = `${source} ${data.device} ${data.n}`;
    const device = byId.get(data.device);
    if (seen.has(message) && device !== undefined && (device.options.qos === 2 || !device.resent.has(data.n))) {
      doubled += 1;
      wrongs.add("O5", `message ${data.n} of ${data.device} (QoS ${device.options.qos}) made a second event (${id})`);
    }
    seen.add(message);
  }
  return doubled;
}

function checkLedger(given: Case, ledger: Ledger, unique: number, wrongs: Wrongs): void {
  for (const imbalance of imbalances(ledger)) wrongs.add("O7", `the ledger does not balance, ${imbalance}`);
  if (given.allDelivered === false) return;
  const uplink = ledger.uplinks[given.uplink ?? "cloud"];
  if (uplink?.delivered !== unique)
    wrongs.add("O7", `the ledger says ${uplink?.delivered} delivered, the cloud holds ${unique}`);
  if (ledger.events.done !== unique)
    wrongs.add("O7", `the ledger says ${ledger.events.done} done, the cloud holds ${unique}`);
}

function numbersByDevice(lines: readonly CloudLine[]): Map<string, Set<number>> {
  const numbers = new Map<string, Set<number>>();
  for (const { data } of lines) {
    const known = numbers.get(data.device);
    if (known === undefined) numbers.set(data.device, new Set([data.n]));
    else known.add(data.n);
  }
  return numbers;
}
