/**
 * What a hostile handler is: its module, what must become of its event, and what that may cost.
 *
 * Each is deployed while the gateway runs, gets one event, and after it a second one that probes what is left: the
 * probe's answer tells how many events its isolate has seen, and it goes through everything that a handler may have
 * patched.
 */

export type Family =
  | "loops"
  | "recursion"
  | "waits"
  | "answers"
  | "rejections"
  | "memory"
  | "escapes"
  | "tampering"
  | "results"
  | "floods"
  | "modules";

/** What must become of the event. */
export type Outcome =
  /** It is done, with these outputs at the uplink, in order. */
  | { readonly at: "done"; readonly outputs: readonly unknown[] }
  /** It is a dead letter with one of these fault codes; several where it depends on the box which limit is met first. */
  | { readonly at: "dead"; readonly codes: readonly string[] }
  /** There is no event: the module itself is not taken on, with one of these texts in its reason. */
  | { readonly at: "refused"; readonly because: readonly string[] };

/** The most that may be gone afterwards. */
export type Cost = "nothing" | "isolate" | "runner";

export interface Hostile {
  /** Its name as a handler, and a level of its topic. */
  readonly name: string;
  readonly family: Family;
  /** The whole module. */
  readonly source: string;
  readonly becomes: Outcome;
  readonly costs: Cost;
  /** Whether its module answers the probe. */
  readonly probed: boolean;
}

/** Longest time that one event may take; most end long before, however slow the box is. */
const TIMEOUT_MS = 1000;
/** These use it up. */
const TIMEOUTS_MS: Partial<Record<Family, number>> = { loops: 100, waits: 100, memory: 700 };

export function timeoutMsOf(family: Family): number {
  return TIMEOUTS_MS[family] ?? TIMEOUT_MS;
}

/** `event.params.n` of the event that a handler is judged by, and of the probe. */
export const EVENT = "event";
export const PROBE = "probe";

export const done = (...outputs: readonly unknown[]): Outcome => ({ at: "done", outputs });
export const dead = (...codes: readonly string[]): Outcome => ({ at: "dead", codes });
export const refused = (...because: readonly string[]): Outcome => ({ at: "refused", because });

/** A body of `(event, ctx) => { … }`; with the outputs that must come of it, where they are its own. */
type Row = string | { readonly body: string; readonly outputs: readonly unknown[] };
type Rows = Readonly<Record<string, Row>>;

/** Handlers that share an outcome and a cost: name → body. */
export function rows(family: Family, becomes: Outcome, costs: Cost, table: Rows): readonly Hostile[] {
  return Object.entries(table).map(([name, row]) => {
    const [body, outcome] = typeof row === "string" ? [row, becomes] : [row.body, done(...row.outputs)];
    return { name, family, source: moduleOf(name, family, body), becomes: outcome, costs, probed: true };
  });
}

/** Whole modules: name → source, in which CONFIG stands for the config. */
export function modules(becomes: Outcome, table: Readonly<Record<string, string>>): readonly Hostile[] {
  return Object.entries(table).map(([name, source]) => ({
    name,
    family: "modules",
    source: source.replaceAll("CONFIG", configOf(name, "modules")),
    becomes,
    costs: "nothing",
    probed: false,
  }));
}

function configOf(name: string, family: Family): string {
  return `{ topic: "hostile/${name}/{n}", key: "{n}", to: ["hostile"], timeout: "${timeoutMsOf(family)}ms" }`;
}

/** The probe says how many events this isolate has seen, and what the handler is told of an event. */
function moduleOf(name: string, family: Family, body: string): string {
  return `
let events = 0;
export const config = ${configOf(name, family)};
export default (event, ctx) => {
  if (event.params.n === "${PROBE}") {
    ctx.state.probed = events;
    ctx.log.info("probed", { events });
    ctx.emit({ events, state: ctx.state }, { to: "hostile", type: "probe" });
    return { topic: event.topic, data: event.data };
  }
  events += 1;
  ${body}
};
`;
}
