/**
 * The composition root: the only place that knows every room (its parts lie in gateway/).
 *
 * Opening goes from the inside out: the journal first (nothing may be accepted that cannot be kept), then what drains it
 * (uplinks, runners, handlers), then what fills it (the broker) last. Closing is the mirror image, so that whatever is
 * still coming in finds a place to go.
 */
import { dirname, join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { Broker } from "./broker/broker.ts";
import { readSecrets } from "./config.ts";
import type { Config, Environment } from "./config.ts";
import { nearest } from "./config/similar.ts";
import { Control } from "./control/control.ts";
import { Stream } from "./control/stream.ts";
import { Deployments } from "./deployments/deployments.ts";
import { eventId } from "./event.ts";
import { Egress } from "./egress/egress.ts";
import { shedStartup } from "./gateway/footprint.ts";
import { Hosting } from "./gateway/hosting.ts";
import { DEVICES, Outlets } from "./gateway/outlets.ts";
import { Replaying } from "./gateway/replaying.ts";
import { Report } from "./gateway/report.ts";
import { changedSecrets } from "./gateway/secrets.ts";
import { Showing } from "./gateway/showing.ts";
import type { Shown } from "./gateway/showing.ts";
import { Telling } from "./gateway/telling.ts";
import { Watching } from "./gateway/watching.ts";
import { Journal } from "./journal/journal.ts";
import type { Log } from "./log.ts";
import { Pipeline } from "./pipeline.ts";
import { Sandbox } from "./sandbox/sandbox.ts";
import { sleep, systemClock as clock } from "./time.ts";
import { Hooks, Ticker, Triggers } from "./triggers/triggers.ts";
import { version } from "./version.ts";

export type { Shown } from "./gateway/showing.ts";

export interface GatewayOptions {
  readonly log: Log;
  /** Absolute path of the config file: relative paths of uplinks count from its folder. */
  readonly configPath: string;
  /** Where secrets come from. */
  readonly env: Environment;
  /** Told what handlers send and fail at. */
  readonly show?: ((shown: Shown) => void) | undefined;
}

const IDLE_POLL_MS = 10;
/** Names in the log line about those; `sluice status` has all. */
const STRANDED_SHOWN_MAX = 20;

interface Rooms {
  readonly outlets: Outlets;
  readonly hosting: Hosting;
  readonly deployments: Deployments;
  readonly control: Control;
  readonly broker: Broker;
}

/** What has been opened, to be closed in mirror order, and how long that may still take. */
interface Closing {
  readonly stack: AsyncDisposableStack;
  leftMs: () => number;
}

export class Gateway {
  readonly #rooms: Rooms;
  readonly #closing: Closing;
  readonly #env: Environment;
  readonly #log: Log;
  #config: Config;
  /** Those that all handlers have. */
  #secrets: ReadonlyMap<string, string>;

  /** Throws the Fault of the first room that cannot open; what was open by then is closed again. */
  static async open(config: Config, options: GatewayOptions): Promise<Gateway> {
    const closing: Closing = { stack: new AsyncDisposableStack(), leftMs: () => 0 };
    try {
      return new Gateway(await openRooms(config, options, closing), closing, config, options);
    } catch (error) {
      await closing.stack.disposeAsync();
      throw error;
    }
  }

  private constructor(rooms: Rooms, closing: Closing, config: Config, { env, log }: GatewayOptions) {
    this.#rooms = rooms;
    this.#closing = closing;
    this.#config = config;
    this.#env = env;
    this.#log = log;
    this.#secrets = rooms.hosting.secrets;
  }

  /** Where devices and operators connect, with the ports that were given for port 0. */
  get addresses(): { readonly broker: readonly string[]; readonly control: string } {
    const { broker, control } = this.#rooms;
    return { broker: broker.addresses.map(withPort), control: control.url };
  }

  /**
   * Takes on what can change while it runs (config/changes.ts). `config` has been validated as a whole. Resolves with the
   * secrets that have other values: "secrets.apiKey".
   */
  async reload(config: Config): Promise<readonly string[]> {
    const { deployments, hosting, outlets } = this.#rooms;
    const isChanged = (section: "uplinks" | "routes" | "handlers" | "secrets"): boolean =>
      !isDeepStrictEqual(this.#config[section], config[section]);
    // Files and variables may have changed where the config has not.
    const secrets = readSecrets(config.secrets, this.#env);
    const changed = changedSecrets(this.#secrets, secrets);
    hosting.secrets = secrets;
    const areUplinksChanged = isChanged("uplinks");
    if (areUplinksChanged) await outlets.replace(config.uplinks);
    if (areUplinksChanged || isChanged("routes")) await hosting.route(config);
    if (isChanged("routes")) sayStranded(hosting.stranded(), this.#log);
    if (areUplinksChanged || isChanged("handlers") || isChanged("secrets"))
      await deployments.reconfigure(config.handlers);
    // Who sends to an uplink that is gone would fill an outbox that nobody takes from, and is to say so.
    const isGone = (name: string): boolean => !Object.hasOwn(config.uplinks, name);
    await deployments.renew(({ settings, candidate }) =>
      [settings, ...(candidate === undefined ? [] : [candidate.settings])].some(
        (own) => own.secrets.some((name) => changed.has(name)) || own.to.some(isGone),
      ),
    );
    // Last: what failed on the way is tried again by the next reload.
    this.#config = config;
    this.#secrets = secrets;
    return [...changed].filter((name) => secrets.has(name)).map((name) => `secrets.${name}`);
  }

  /** Takes nothing more in, finishes what runs within `deadlineMs`, and closes. What is left waits in the journal. */
  async close(deadlineMs: number): Promise<void> {
    const deadline = clock.monotonic() + deadlineMs;
    this.#closing.leftMs = () => Math.max(0, deadline - clock.monotonic());
    await this.#closing.stack.disposeAsync();
  }
}

/** As devices dial it: with the port that was taken where the URL says 0, or nothing. */
function withPort({ url, port }: { readonly url: string; readonly port: number }): string {
  const dialed = new URL(url);
  dialed.port = String(port);
  return dialed.href;
}

async function openRooms(
  config: Config,
  { log, configPath, env, show }: GatewayOptions,
  closing: Closing,
): Promise<Rooms> {
  const { stack } = closing;
  const secrets = readSecrets(config.secrets, env);
  const { data, id: gatewayId } = config.gateway;
  const room = (name: string): Log => log.child({ room: name });
  const late: { broker: Broker | undefined } = { broker: undefined };
  /** A verdict may come while handlers are still taken on. */
  const opened = Promise.withResolvers<Deployments>();

  const journal = await openJournal(config, room("journal"));
  stack.defer(() => journal.close());

  const outlets = new Outlets(journal, config.uplinks, {
    gatewayId,
    folder: dirname(configPath),
    broker: () => late.broker,
    log: room("uplinks"),
  });
  stack.defer(() => outlets.close(closing.leftMs()));

  const egress = new Egress({
    version,
    limits: {
      fetchesMax: config.sandbox.fetchesTotalMax,
      bytesMax: config.sandbox.fetchBytesTotalMax,
    },
  });
  stack.defer(() => egress.close());

  const stream = new Stream(clock, config.control.limits.streamsMax);
  const telling = new Telling(stream, journal.id);
  const sandbox = await Sandbox.open({
    settings: config.sandbox,
    fetch: egress.fetch,
    journalId: journal.id,
    gatewayId,
    clock,
    log: room("sandbox"),
    onLog: (handler, version, level, message, task) => {
      log[level]({ handler, version }, message);
      telling.log({ handler, version, level, message }, task);
    },
  });
  stack.defer(() => sandbox.close());

  const triggers = new Triggers();
  const watching = new Watching(triggers, journal, config.handlers.hopsMax, () => outlets.status(), telling);
  stack.defer(() => watching.close());
  const outputs = {
    wanted: (topic: string) => triggers.match("topic", topic),
    uplink: (name: string) => outlets.idOf(name),
    local: journal.uplinkId(DEVICES),
    hopsMax: config.handlers.hopsMax,
    nameOf: (handler: number) => journal.handlerName(handler),
  };
  const pipeline = new Pipeline({
    journal,
    runners: sandbox,
    isFull: (uplink) => outlets.isFull(uplink),
    judged: (...verdict) => void opened.promise.then((deployments) => deployments.judged(...verdict)),
    ...outputs,
    outcomes: show === undefined ? telling : new Showing(telling, show, (id) => journal.uplinkName(id)),
    died: (...died) => watching.notices.failed(...died),
    clock,
    random: Math.random,
    lossesMax: config.sandbox.quarantineAfter,
    provenAfterMs: config.sandbox.provenAfter,
    log: room("pipeline"),
    waits: true,
  });
  journal.onDrop = (handler, key) => pipeline.lines.dropped(handler, key);
  journal.onParked = (handler, key) => pipeline.lines.redriven(handler, key);
  stack.defer(async () => {
    pipeline.close();
    while (!pipeline.lines.idle && closing.leftMs() > 0) await sleep(IDLE_POLL_MS);
  });

  const hosting = new Hosting({ journal, sandbox, triggers, lines: pipeline.lines, outlets, egress }, secrets);
  await hosting.route(config);
  const deployments = await Deployments.open({
    handlers: config.handlers,
    folder: join(data, "deployments"),
    clock,
    log: room("deployments"),
    suggest: nearest,
    inspect: (candidate) => hosting.inspect(candidate),
    live: async (handler) => {
      await hosting.live(handler);
      telling.live(handler);
    },
    warm: (handler) => hosting.warm(handler),
    removed: (name) => {
      telling.removed(name);
      return hosting.removed(name);
    },
    failed: (name, fault) => {
      hosting.failed(name, fault);
      telling.refused(name, fault);
      if (fault.code === "HANDLER_ROLLED_BACK") watching.rolledBack(name, fault.message);
    },
    mended: (name) => hosting.mended(name),
    decided: (name, decision) => telling.decided(name, decision),
    takeBack: (name, version, mark) => hosting.takeBack(name, version, mark),
    letterMark: () => journal.dead.next,
  });
  opened.resolve(deployments);
  stack.defer(() => deployments.close());
  pipeline.lines.begun();
  journal.begun();
  sayStranded(hosting.stranded(), log);
  const ticker = new Ticker({
    schedules: triggers.schedule,
    ticks: {
      last: (handler) => journal.once.lastTick(handler),
      tick: (handler, mark, event) => journal.once.tick(handler, mark, event),
    },
    clock,
    log: room("triggers"),
    handlerName: (handler) => journal.handlerName(handler),
  });
  const hooks = new Hooks({
    webhooks: triggers.webhook,
    book: journal.once,
    secret: (name) => hosting.secrets.get(name),
    eventId: (seq) => eventId(journal.id, seq),
    clock,
  });
  ticker.start();
  stack.defer(() => ticker.close());

  const replaying = await Replaying.open({
    ...{ journal, sandbox, pipeline, outlets, hosting, deployments, clock },
    outputs: { ...outputs, takesChained: (handler: number) => journal.takesChained(handler) },
    log: room("replays"),
  });
  stack.defer(() => replaying.close());

  const report = new Report({
    config,
    journal,
    outlets,
    sandbox,
    egress,
    pipeline,
    hosting,
    deployments,
    ticker,
    hooks,
    stream,
    notices: watching.notices,
    replays: replaying,
    broker: () => late.broker,
  });
  const control = await Control.open({
    settings: config.control,
    data,
    source: report,
    hooks,
    clock,
    log: room("control"),
  });
  stack.defer(() => control.close(closing.leftMs()));

  const ingress = {
    accept: pipeline.accept.bind(pipeline),
    claimed: journal.claimed.bind(journal),
    claimants: journal.claimants.bind(journal),
    release: journal.release.bind(journal),
    forget: journal.forget.bind(journal),
    onRoom: (): void => undefined,
  };
  journal.onRoom = () => ingress.onRoom();
  shedStartup();
  const broker = await Broker.open({
    settings: config.broker,
    ingress,
    data,
    clock,
    log: room("broker"),
    onDevice: (what, device) => watching.device(what, device),
    onSubscribed: (device, filter, qos) => watching.subscribed(device, filter, qos),
  });
  watching.started(version);
  late.broker = broker;
  stack.defer(async () => {
    // What is published to devices from now on waits in its outbox for the next start.
    late.broker = undefined;
    await broker.close(closing.leftMs() / 2);
  });
  return { outlets, hosting, deployments, control, broker };
}

/** Tasks of handlers that were removed while the gateway did not run, of routes that are gone, of what does not build. */
function sayStranded(stranded: Readonly<Record<string, number>>, log: Log): void {
  const all = Object.entries(stranded);
  if (all.length === 0) return;
  const waiting = Object.fromEntries(all.slice(0, STRANDED_SHOWN_MAX));
  log.warn(
    { handlers: all.length, waiting },
    "tasks wait for handlers that nobody runs: put those back, or drop them with `sluice handlers drop`; else they expire (journal.retain)",
  );
}

function openJournal(config: Config, log: Log): Promise<Journal> {
  const { sizeMax, retain, whenFull, record, limits } = config.journal;
  return Journal.open({
    path: config.gateway.data,
    sizeMaxBytes: sizeMax,
    retainMs: retain,
    whenFull,
    stagedBytesMax: limits.stagedMax,
    parkedMax: limits.parkedMax,
    parkedBytesMax: limits.parkedBytesMax,
    deadMax: limits.deadMax,
    deadBytesMax: limits.deadBytesMax,
    recordsBytesMax: record === "none" ? 0 : limits.recordsMax,
    stateCacheBytesMax: limits.stateCacheMax,
    clock,
    log,
  });
}
