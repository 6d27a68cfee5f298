/** What `sluice help` teaches: a page for each thing that people want to do, with the commands in the order of use. */
export interface Guide {
  readonly name: string;
  /** Stands above its commands in the list of all. */
  readonly heading: string;
  readonly text: string;
}

export const GUIDES = {
  starting: {
    name: "starting",
    heading: "Run it",
    text: `Run a gateway

  sluice init edge && cd edge    a folder with a config, a handler and its cases
  sluice check                   is the config good, does every handler build and load?
  sluice run                     the gateway: JSON log on stderr, SIGTERM ends it, SIGHUP reads the config again
  sluice health                  exit status 0 when it is ready

The config is config/sluice.yaml, sluice.yaml, what SLUICE_CONFIG names, or --config. Everything durable is in
gateway.data; there is one gateway at a time on it. As a service, let SIGTERM take gateway.drain before SIGKILL.

A first event, by hand:

  sluice pub -t plant/a/press-7/temperature -m '{"c": 91}'     be a device
  sluice sub -t 'alarm/#'                                      see what handlers publish to devices
  sluice simulate --devices 50 --rate 200 --seconds 10         be fifty devices`,
  },
  writing: {
    name: "writing",
    heading: "Write handlers",
    text: `Write handlers

A handler is a file in handlers/: \`export const config\` says which events it gets and where its outputs go, the default
export is a function of (event, ctx). What it returns is sent; a throw is tried again; ctx.state is saved with the outputs.

  sluice dev --sim               run it with devices that publish; each save is live within a moment
  sluice invoke NAME -m '{"c": 91}'      one event: what goes out, the log, the time that it took
  sluice test                    the cases in NAME.cases.yaml: events in, outputs and state out; --watch on each save
  tail -f log | sluice test NAME each line of stdin is an event: [topic] payload
  sluice types --check           the types of handlers, with TypeScript
  sluice check                   what a deploy would refuse, without deploying

invoke and test need no gateway. In tests of your own: import { openHandler } from "sluice/testing".
Pages: docs/handlers.md, docs/testing-handlers.md, docs/guest-api.md (what there is), docs/portability.md (Lambda, CloudEvents).`,
  },
  deploying: {
    name: "deploying",
    heading: "Deploy and take back",
    text: `Deploy a handler, and take it back

What lies in the handlers' folder is live as soon as it is saved. From elsewhere, or with a word about why:

  sluice deploy handlers/overheat.ts -m "hotter limits"
  sluice deploy handlers/overheat.ts --wait      exit status 1 when it was rolled back

A version that comes after another one is on probation: when more of its events fail than may, when it is much slower, or
when it costs a runner, the version before is live again by itself, and what failed runs again there.

  sluice deploy handlers/overheat.ts --canary 10%     on a share of the keys
  sluice deploy handlers/overheat.ts --shadow         beside the live one, without effects: what would be different?
  sluice versions overheat       which is live, how the new one does, what happened
  sluice promote overheat        the canary or shadow becomes live
  sluice rollback overheat       drop it; or make the version before live again; or the one that is named

Page: docs/deploying.md.`,
  },
  watching: {
    name: "watching",
    heading: "Watch it",
    text: `Watch a gateway

  sluice status                  the ledger: each event is in exactly one column; handlers, uplinks, what waits
  sluice status --json           the same for programs
  sluice handlers                rates, failures and times of each handler, and the versions under watch
  sluice tail                    what happens, live: log lines, what became of events, deploys, uplinks
  sluice tail NAME --status error --since 5m
  sluice health                  for probes: exit status 0 when it is ready

/metrics of the control server is for Prometheus (docs/metrics.md), /api/v1/openapi.json describes the API. The log is
JSON lines on stderr; what went wrong has a code, and docs/faults.md says what each means and what to do.`,
  },
  repairing: {
    name: "repairing",
    heading: "Repair it",
    text: `Repair what went wrong

A handler that does not build, load or have valid settings is not taken on: the version before it stays live, and the log and
\`sluice status\` say why, with file, line and column. Save it again, mended.

An event that keeps failing is a dead letter, and kept:

  sluice dead ls                 which, why, since when
  sluice dead show ID            its payload, its failure with the stack
  sluice invoke NAME -t TOPIC -m DATA     try it on the mended handler, without effects
  sluice dead redrive ID         send it through once more; or all of a handler
  sluice dead redrive ID --version 4   run it on that version of its handler
  sluice dead drop ID            give it up; it stays counted

Past events can be run again, to see what another version makes of them:

  sluice replay NAME --since 1h --version 4          a diff; nothing has effects
  sluice replay NAME --since 1h --version 4 --apply  what comes of it is sent

A handler that remembers something wrong:

  sluice state ls NAME           the keys of which it has state
  sluice state get NAME KEY      the state of one
  sluice state rm NAME KEY       remove it; events that are running run again, on none

What waits for a handler whose file is gone runs when the file is back:

  sluice handlers drop NAME      or give it up`,
  },
} as const satisfies Readonly<Record<string, Guide>>;

export type GuideName = keyof typeof GUIDES;
