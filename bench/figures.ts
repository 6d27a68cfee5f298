/** The table: what is measured, which bar it has to reach, and how it is taken. Measuring itself is in the experiments. */

export interface Figure {
  readonly name: string;
  readonly title: string;
  readonly unit: "ratio" | "ms" | "s" | "MB";
  readonly bar: { readonly sense: "at least" | "at most"; readonly value: number };
  readonly how: string;
}

/** What one experiment found out about one figure. */
export interface Reading {
  readonly value: number;
  /** The absolute figures behind it, and how noisy they were, in one line. */
  readonly detail: string;
}

export type Readings = Readonly<Record<string, Reading>>;

const atLeast = (value: number): Figure["bar"] => ({ sense: "at least", value });
const atMost = (value: number): Figure["bar"] => ({ sense: "at most", value });

export const FIGURES: readonly Figure[] = [
  {
    name: "rate-vs-aedes",
    title: "durable end-to-end rate over the rate at which bare aedes acknowledges",
    unit: "ratio",
    bar: atLeast(0.5),
    how: "QoS 1 in, fsync, handler, outbox, counted by the mosquitto upstream; bare aedes under the same load; interleaved, medians",
  },
  {
    name: "rate-vs-node-red",
    title: "the same rate over Node-RED 5, which stores nothing",
    unit: "ratio",
    bar: atLeast(4),
    how: "Node-RED: mqtt in → json → function → mqtt out, QoS 1, between two mosquittos; counted by the second; interleaved, medians",
  },
  {
    name: "ack-latency",
    title: "one device, one in flight: PUBACK p50 minus fsync p50",
    unit: "ms",
    bar: atMost(0.5),
    how: "publish to PUBACK, in turns with write + fdatasync of 200 bytes in the same folder",
  },
  {
    name: "cold-handler",
    title: "cold handler: first event to outcome, p99",
    unit: "ms",
    bar: atMost(15),
    how: "200 handlers that have not run yet, one event each; from the publish to the output at the mosquitto upstream, which comes after the outcome",
  },
  {
    name: "runner-killed",
    title: "runner killed: back at work",
    unit: "ms",
    bar: atMost(250),
    how: "SIGKILL to the runner under an event every 2 ms; to the first output upstream of an event published after it; median of the kills",
  },
  {
    name: "idle-memory",
    title: "idle memory, gateway and one runner",
    unit: "MB",
    bar: atMost(150),
    how: "resident memory of both processes added up, so that what they share counts twice; one handler, nothing happening",
  },
  {
    name: "idle-handler",
    title: "each further idle handler",
    unit: "MB",
    bar: atMost(1.5),
    how: "resident memory with 201 handlers, each of which has run once and has been idle since for longer than `sandbox.idle`, minus that with 1, by 200",
  },
  {
    name: "backlog-memory",
    title: "one million waiting tasks: extra memory",
    unit: "MB",
    bar: atMost(100),
    how: "resident memory after a start with a million tasks waiting, minus that after a start with none",
  },
  {
    name: "backlog-start",
    title: "one million waiting tasks: start to accepting",
    unit: "s",
    bar: atMost(3),
    how: "from the start of the process, after a kill -9, to the first PUBACK",
  },
  {
    name: "many-handlers",
    title: "cost per event with 500 handlers over that with 1",
    unit: "ratio",
    bar: atMost(1.25),
    how: "processor time of gateway and runners per delivered event, the same load; each event is wanted by one handler",
  },
  {
    name: "many-devices",
    title: "cost per event with 2,000 devices over that with 10",
    unit: "ratio",
    bar: atMost(1.25),
    how: "processor time of gateway and runners per delivered event, the same rate, each message in a packet of its own",
  },
  {
    name: "save-to-live",
    title: "a handler is saved: until its first output is upstream",
    unit: "ms",
    bar: atMost(200),
    how: "from the write of the file, under an event every 2 ms, to the first output of the new version at the mosquitto upstream; median of nine",
  },
  {
    name: "deploy-to-live",
    title: "sluice deploy: until the first output of the version is upstream",
    unit: "ms",
    bar: atMost(1000),
    how: "as save-to-live, from the start of the command",
  },
  {
    name: "test-start",
    title: "sluice test: from the command to its end, one case",
    unit: "ms",
    bar: atMost(1000),
    how: "a process for each of nine runs, after one that fills the caches; median",
  },
  {
    name: "invoke-round",
    title: "sluice invoke: from the command to its end",
    unit: "ms",
    bar: atMost(1000),
    how: "as test-start, one event",
  },
];

export function holds(figure: Figure, value: number): boolean {
  return figure.bar.sense === "at least" ? value >= figure.bar.value : value <= figure.bar.value;
}
