/** Runs cases: sends what they say, and compares what came of it with what they expect. */
import type { CaseEvent, CasesFile, Expectation, TestCase } from "./cases-schema.ts";
import type { Cases } from "./cases.ts";
import { compare } from "./compare.ts";
import type { Difference } from "./compare.ts";
import { shownTriggers } from "../deployments/shown.ts";
import { answering } from "./fetch-answers.ts";
import type { Fetched } from "./fetch-answers.ts";
import { callEvent, noticeEvent } from "./inner-events.ts";
import { Sitting } from "./sitting.ts";
import type { Came, Published, Sent, SentOutput } from "./sitting.ts";
import type { LogLine, Taken, Workbench } from "./workbench.ts";

export interface CaseResult {
  readonly handler: string;
  readonly name: string;
  readonly at: "passed" | "failed" | "skipped";
  /** As a person would type it, and where the case begins. */
  readonly file: string;
  readonly line: number;
  readonly differences: readonly (Difference & { readonly line: number })[];
  /** What the handler logged, in all. */
  readonly logs: readonly LogLine[];
  readonly tookMs: number;
}

type Built = Awaited<ReturnType<Workbench["build"]>>;
type Path = readonly (string | number)[];

const START = Date.UTC(2026, 0, 1);

/** One result a case, in order. Throws the Fault for which the handler would not be deployed. */
export async function* runCases(bench: Workbench, built: Built, cases: Cases): AsyncGenerator<CaseResult> {
  for (const [index, one] of cases.content.cases.entries()) {
    const path = ["cases", index];
    const { line } = cases.place(path);
    const shared = { handler: built.name, name: one.name, file: cases.shown, line };
    if (one.skip === true) {
      yield { ...shared, at: "skipped", differences: [], logs: [], tookMs: 0 };
      continue;
    }
    const startMs = performance.now();
    const { differences, logs } = await runCase(bench, built, cases.content, one, path);
    yield {
      ...shared,
      at: differences.length === 0 ? "passed" : "failed",
      differences: differences.map((each) => ({ ...each, line: cases.place(each.path).line })),
      logs,
      tookMs: performance.now() - startMs,
    };
  }
}

async function runCase(
  bench: Workbench,
  built: Built,
  file: CasesFile,
  one: TestCase,
  path: Path,
): Promise<{ differences: Difference[]; logs: LogLine[] }> {
  const stateVersion = one.stateVersion ?? file.stateVersion;
  const taken = await bench.take(built, {
    stateVersion,
    params: { ...file.params, ...one.params },
    secrets: { ...file.secrets, ...one.secrets },
  });
  const fetched: Fetched[] = [];
  const answers = [...(one.fetch ?? []), ...(file.fetch ?? [])];
  const sitting = new Sitting(bench, taken, {
    states: { ...file.state, ...one.state },
    stateVersion,
    ...(answers.length === 0 ? {} : { fetch: answering(answers, fetched) }),
  });
  let timeMs = Date.parse(one.time ?? file.time ?? "") || START;
  const all: Came[] = [];
  const differences: Difference[] = [];
  for (const [index, event] of one.events.entries()) {
    const at = [...path, "events", index];
    const sends = sendsOf(sitting, taken, event, timeMs);
    timeMs += (event.after ?? 0) + (event.pass ?? 0);
    const fetchedBefore = fetched.length;
    const came: Came[] = [];
    for (const send of sends) came.push(await sitting.send(send));
    all.push(...came);
    if (event.expect !== undefined) {
      const seen = { all: came, fetched: fetched.slice(fetchedBefore), states: sitting.states };
      differences.push(...differencesOf(event.expect, seen, [...at, "expect"]));
    }
    const isFailureExpected = event.expect?.error !== undefined || one.expect?.error !== undefined;
    const isUnmatchedExpected = event.expect?.unmatched === true || one.expect?.unmatched === true;
    for (const each of came) {
      if (each.at === "failed" && !isFailureExpected) differences.push(failed(each, at));
      if (each.at !== "unmatched" || isUnmatchedExpected) continue;
      const wanted = shownTriggers(taken.settings).join("; ");
      const [name, what] = sentAs(event);
      const note = `the handler does not want ${what}: what runs it is ${wanted}`;
      differences.push({ path: [...at, name], expected: what, actual: wanted, note });
    }
  }
  const seen = { all, fetched, states: sitting.states };
  if (one.expect !== undefined) differences.push(...differencesOf(one.expect, seen, [...path, "expect"]));
  return { differences, logs: all.flatMap(({ logs }) => logs) };
}

function payloadOf(event: Pick<CaseEvent, "data" | "text" | "base64" | "hex">): Uint8Array {
  if (event.data !== undefined) return Buffer.from(JSON.stringify(event.data));
  if (event.base64 !== undefined) return Buffer.from(event.base64, "base64");
  if (event.hex !== undefined) return Buffer.from(event.hex.replaceAll(/\s/g, ""), "hex");
  return Buffer.from(event.text ?? "");
}

/** One, or as many as the schedule ticks while time passes. */
function sendsOf(sitting: Sitting, taken: Taken, event: CaseEvent, beforeMs: number): readonly (Sent | undefined)[] {
  const timeMs = beforeMs + (event.after ?? 0);
  const { topic, webhook, on, data, device, attempt } = event;
  if (topic !== undefined) return [{ ...event, topic, payload: payloadOf(event), timeMs }];
  const rest = { timeMs, attempt };
  if (webhook !== undefined) {
    return [callEvent(taken, { ...event, webhook }, payloadOf(event), data !== undefined, rest)];
  }
  if (on !== undefined)
    return [noticeEvent({ ...event, on }, (data ?? {}) as Record<string, unknown>, { ...rest, device })];
  return sitting.ticks(timeMs, timeMs + (event.pass ?? 0));
}

/** Where an event says what it is, and what. */
function sentAs({ topic, webhook, method, on }: CaseEvent): readonly [name: string, what: string] {
  if (webhook !== undefined) return ["webhook", method === undefined ? webhook : `${method} ${webhook}`];
  return on === undefined ? ["topic", topic ?? ""] : ["on", on];
}

function failed({ failure }: Came, path: Path): Difference {
  const { code = "", message = "", stack = message } = failure ?? {};
  return { path, expected: undefined, actual: code, note: `the handler failed with ${code}: ${stack}` };
}

interface Seen {
  readonly all: readonly Came[];
  readonly fetched: readonly Fetched[];
  readonly states: Readonly<Record<string, unknown>>;
}

function differencesOf(expected: Expectation, { all, fetched, states }: Seen, path: Path): Difference[] {
  const found: Difference[] = [];
  const outputs = all.flatMap((came) => came.outputs);
  const published = all.flatMap((came) => came.published);
  if (expected.outputs !== undefined) {
    found.push(...compareSent(expected.outputs.map(withList), outputs, [...path, "outputs"]));
  }
  if (expected.published !== undefined) {
    found.push(...compareSent(expected.published, published, [...path, "published"]));
  }
  if (expected.fetched !== undefined) found.push(...compareSent(expected.fetched, fetched, [...path, "fetched"]));
  for (const [key, state] of Object.entries(expected.state ?? {})) {
    found.push(...compare(state ?? undefined, states[key], [...path, "state", key]));
  }
  if (expected.logs !== undefined) found.push(...compareLogs(expected.logs, all, [...path, "logs"]));
  if (expected.error !== undefined) found.push(...compareError(expected.error, all, [...path, "error"]));
  if (expected.unmatched !== undefined) {
    const isUnmatched = all.every(({ at }) => at === "unmatched");
    found.push(...compare(expected.unmatched, isUnmatched, [...path, "unmatched"]));
  }
  return found;
}

function withList(output: NonNullable<Expectation["outputs"]>[number]): object {
  return { ...output, ...(output.to === undefined ? {} : { to: [output.to].flat() }) };
}

/** As many, in the same order; of each what is named. */
function compareSent(
  expected: readonly { readonly exact?: boolean | undefined; readonly data?: unknown }[],
  actual: readonly (SentOutput | Published | Fetched)[],
  path: Path,
): Difference[] {
  if (actual.length !== expected.length) {
    const plain = actual.map(({ data }) => data);
    const [came, wanted] = [count(actual.length, path), count(expected.length, path)];
    return [{ path, expected: expected.map(({ data }) => data), actual: plain, note: `${came} came, not ${wanted}` }];
  }
  return expected.flatMap(({ exact = false, data, ...rest }, index) => {
    const have = actual[index] as SentOutput;
    const at = [...path, index];
    return [
      ...compare(rest, have, at),
      ...(data === undefined ? [] : compare(data, have.data, [...at, "data"], exact)),
    ];
  });
}

function count(length: number, path: Path): string {
  const noun = { outputs: "output", published: "message", fetched: "request" }[String(path.at(-1))] ?? "one";
  return `${length === 0 ? "no" : length} ${noun}${length === 1 ? "" : "s"}`;
}

function compareLogs(expected: NonNullable<Expectation["logs"]>, all: readonly Came[], path: Path): Difference[] {
  const lines = all.flatMap(({ logs }) => logs);
  if (expected.length === 0) {
    return lines.length === 0 ? [] : [{ path, expected: [], actual: lines.map(({ message }) => message) }];
  }
  let from = 0;
  for (const [index, want] of expected.entries()) {
    const { level, message = "" } = typeof want === "string" ? { message: want } : want;
    const found = lines.findIndex(
      (line, at) => at >= from && line.message.includes(message) && (level === undefined || line.level === level),
    );
    if (found < 0) {
      const rest = lines.slice(from).map((line) => `${line.level}: ${line.message}`);
      return [{ path: [...path, index], expected: want, actual: rest, note: "no such line was logged" }];
    }
    from = found + 1;
  }
  return [];
}

function compareError(expected: NonNullable<Expectation["error"]>, all: readonly Came[], path: Path): Difference[] {
  const failures = all.flatMap(({ failure }) => failure ?? []);
  const failure = failures[0];
  const want = typeof expected === "string" ? { code: expected } : expected;
  if (failure === undefined) return [{ path, expected, actual: undefined, note: "nothing failed" }];
  if (failures.length > 1) {
    const codes = failures.map(({ code }) => code);
    return [{ path, expected, actual: codes, note: `${failures.length} events failed; say of each what is expected` }];
  }
  const { code, message, dead } = failure;
  const found: Difference[] = [];
  if (want.code !== undefined && want.code !== code) {
    found.push({ path: typeof expected === "string" ? path : [...path, "code"], expected: want.code, actual: code });
  }
  if (want.message !== undefined && !message.includes(want.message)) {
    found.push({ path: [...path, "message"], expected: want.message, actual: message });
  }
  if (want.dead !== undefined && want.dead !== dead) {
    found.push({ path: [...path, "dead"], expected: want.dead, actual: dead });
  }
  return found;
}
