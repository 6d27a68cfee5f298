/** One metric: its name, what it says, and where it is read. */
import type { ControlSource, Status } from "./control.ts";
import type { Figures, ServerFigures } from "./figures.ts";

/** What one scrape reads: each room is asked once. */
export interface Reading {
  readonly status: Status;
  readonly figures: Figures;
  readonly ready: readonly string[];
  readonly server: ServerFigures;
}

export function readingOf(source: ControlSource, server: ServerFigures): Reading {
  return { status: source.status(), figures: source.figures(), ready: source.ready(), server };
}

export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** What a histogram shows for some labels. */
export interface Spread {
  readonly labels: Readonly<Record<string, string>>;
  /** How many there were up to each bound, those below counted too. */
  readonly upTo: readonly (readonly [bound: number, count: number])[];
  readonly count: number;
  readonly sum: number;
}

export interface HistogramMetric {
  readonly name: string;
  readonly type: "histogram";
  readonly help: string;
  readonly labels: readonly string[];
  readonly spreads: (reading: Reading) => readonly Spread[];
}

export interface Metric {
  readonly name: string;
  readonly type: "counter" | "gauge";
  readonly help: string;
  readonly labels: readonly string[];
  readonly read: (reading: Reading) => readonly Sample[];
}

type Read = (reading: Reading) => number;

const single = (type: "counter" | "gauge", name: string, help: string, read: Read): Metric => ({
  name: `sluice_${name}`,
  type,
  help,
  labels: [],
  read: (reading) => [{ labels: {}, value: read(reading) }],
});

export const counter = (name: string, help: string, read: Read): Metric => single("counter", name, help, read);
export const gauge = (name: string, help: string, read: Read): Metric => single("gauge", name, help, read);

/** One metric with a sample for each entry of a record. */
export function byLabel(
  type: "counter" | "gauge",
  name: string,
  label: string,
  help: string,
  read: (reading: Reading) => Readonly<Record<string, number>>,
): Metric {
  return {
    name: `sluice_${name}`,
    type,
    help,
    labels: [label],
    read: (reading) => Object.entries(read(reading)).map(([of, value]) => ({ labels: { [label]: of }, value })),
  };
}

export const perUplink = (
  type: "counter" | "gauge",
  name: string,
  help: string,
  read: (of: Figures["uplinks"][string]) => number,
): Metric =>
  byLabel(type, name, "uplink", help, ({ figures }) =>
    Object.fromEntries(Object.entries(figures.uplinks).map(([uplink, of]) => [uplink, read(of)])),
  );

export const perHandler = (name: string, help: string, read: (of: Status["handlers"][number]) => number): Metric =>
  byLabel("gauge", name, "handler", help, ({ status }) =>
    Object.fromEntries(status.handlers.map((handler) => [handler.name, read(handler)])),
  );
