/**
 * Takes handlers and routes into service and out of it: the one place where a version meets the journal's numbers, the
 * sandbox, the triggers and the pipeline.
 *
 * A version is checked as a whole before anything changes; then it is loaded, bound to its triggers, and attached, in
 * that order. So an event is never routed to a handler that cannot run, and a failure leaves what was live.
 */
import { createHash } from "node:crypto";
import type { Config } from "../config.ts";
import type { Candidate, Inspection, LiveHandler } from "../deployments/deployments.ts";
import { loadFault } from "../deployments/handler.ts";
import { webhookSecrets } from "../deployments/trigger-settings.ts";
import type { Egress } from "../egress/egress.ts";
import { Fault } from "../fault.ts";
import type { Journal } from "../journal/journal.ts";
import type { HandlerBundle, Sandbox } from "../sandbox/sandbox.ts";
import { ROUTE_VERSION } from "../tasks/forward.ts";
import type { Lines } from "../tasks/lines.ts";
import type { OutputDefaults } from "../tasks/outputs.ts";
import type { CandidateSettings } from "../tasks/watch.ts";
import { sleep } from "../time.ts";
import { namedLevels } from "../triggers/triggers.ts";
import type { Triggers } from "../triggers/triggers.ts";
import { checkSecrets } from "./secrets.ts";
import type { Outlets } from "./outlets.ts";
import { routesOf } from "./routes.ts";
import type { Route } from "./routes.ts";

export interface HostingRooms {
  readonly journal: Journal;
  readonly sandbox: Sandbox;
  readonly triggers: Triggers;
  readonly lines: Lines;
  readonly outlets: Outlets;
  readonly egress: Egress;
}

/** A version that is loaded beside the live one. */
type Aside = Pick<LiveHandler, "name" | "version" | "code" | "sourceMap" | "file" | "settings">;

const PAGE = 100;
/** No handler has that number. */
const NOBODY = -1;
/** Routes never fail, so nothing of them is ever tried again; the pipeline wants a policy all the same. */
const ROUTE_RETRY = { triesMax: 5, firstMs: 500, maxMs: 60_000 };
/** How long what waits for a route that is gone may take to leave; the rest waits until it is back, or expires. */
const RETIRE_MS = 2000;
const RETIRE_POLL_MS = 5;

export class Hosting {
  readonly #rooms: HostingRooms;
  readonly #live = new Map<string, LiveHandler>();
  readonly #failures = new Map<string, Fault>();
  /** By slot and handler: digest of what is loaded. */
  readonly #loaded = new Map<string, string>();
  #routes: readonly Route[] = [];
  /** Values by name, for handlers that go live from now on. */
  secrets: ReadonlyMap<string, string>;

  constructor(rooms: HostingRooms, secrets: ReadonlyMap<string, string>) {
    this.#rooms = rooms;
    this.secrets = secrets;
  }

  get liveHandlers(): readonly LiveHandler[] {
    return [...this.#live.values()];
  }

  get routes(): readonly Route[] {
    return this.#routes;
  }

  /** Whether somebody runs what waits for a handler or route of this name. A route runs while it is in the config. */
  runs(name: string): boolean {
    return this.#live.has(name) || this.#routes.some((route) => route.name === name);
  }

  /** Tasks of handlers and routes that nobody runs, by name; a handler of which no version is live is one of them. */
  stranded(): Readonly<Record<string, number>> {
    const pending = this.#rooms.journal.pending().filter(({ name }) => !this.runs(name));
    return Object.fromEntries(pending.map(({ name, waiting, parked }) => [name, waiting + parked]));
  }

  /** By handler: why its newest build is not live. */
  get failures(): ReadonlyMap<string, Fault> {
    return this.#failures;
  }

  inspect({ name, code, sourceMap, timeoutMs, memoryBytes }: Candidate): Promise<Inspection> {
    const { journal, sandbox, lines } = this.#rooms;
    const settings = { timeoutMs, memoryBytes, params: {}, topics: [] };
    const bundle = { name, id: 0, version: 0, code, sourceMap, settings };
    return sandbox.inspect(bundle, lines.placeFor(journal.knownHandler(name) ?? NOBODY, "fresh"));
  }

  /** Makes `handler` the version that runs. Throws a Fault and changes nothing when it cannot. */
  async live(handler: LiveHandler): Promise<void> {
    const { journal, triggers, lines, egress } = this.#rooms;
    const { name, version, code, sourceMap, file, settings, probation } = handler;
    const { topics, key, schedule, webhook, on, params, fetch, timeoutMs, memoryBytes } = settings;
    const { concurrency, type, retry, limits } = settings;
    const to = this.#uplinkIds(settings.to, file);
    const wants = { name, topics, key, schedule, webhook, on };
    // What is refused must not cost one of the journal's 65,535 numbers.
    triggers.vet(journal.knownHandler(name) ?? NOBODY, wants);
    const secrets = this.#granted(settings.secrets, file, webhookSecrets(webhook));
    const id = journal.handlerId(name);
    const named = { params, topics: namedLevels(wants) };
    const bundleSettings = { timeoutMs, memoryBytes, concurrency, ...named, limits, fetch, secrets };
    const isSame = this.#live.get(name)?.version === version && version > 0;
    const trust = isSame ? "same" : handler.hasServed ? "known" : "fresh";
    const bundle = { name, id, version, code, sourceMap, settings: bundleSettings };
    const watched = { version, probation, candidate: await this.#tried(handler, id) };
    await this.#load(bundle, file, lines.placeFor(id, trust), "live", true, handler.loadsLater);
    egress.meet(name);
    journal.keepState(id, settings.stateTtlMs);
    const keyOf = triggers.bind(id, wants);
    await lines.attach({ name, id, to, type, retry, concurrency, route: false, trust, keyOf, limits, ...watched });
    if (watched.candidate === undefined) this.#unloadTried(name, id);
    this.#live.set(name, handler);
  }

  /** Loads what went live without being loaded. Says why it does not load. */
  async warm({ name, file }: LiveHandler): Promise<Fault | undefined> {
    const { journal, sandbox, lines } = this.#rooms;
    const id = journal.handlerId(name);
    const load = await sandbox.warm(lines.placeFor(id, "same"), id);
    return load?.at === "failed" ? loadFault(load.failure, file) : undefined;
  }

  /** Loads what is tried beside the live version. */
  async #tried({ name, candidate }: LiveHandler, id: number): Promise<CandidateSettings | undefined> {
    if (candidate === undefined) return undefined;
    const { version, share, probation: rules } = candidate;
    const defaults = await this.#loadAside({ ...candidate, name }, id, "candidate", share > 0);
    return { version, share, rules, ...defaults };
  }

  /** Loads a version for replays beside the live one; it makes no requests. Throws a Fault. */
  async loadReplayed(handler: Aside): Promise<{ readonly id: number; readonly defaults: OutputDefaults }> {
    const id = this.#rooms.journal.handlerId(handler.name);
    return { id, defaults: await this.#loadAside(handler, id, "replay", false) };
  }

  unloadReplayed(name: string): void {
    this.#rooms.sandbox.unloadAside(this.#rooms.journal.handlerId(name), "replay");
    this.#loaded.delete(`replay ${name}`);
  }

  async #loadAside(
    { name, version, code, sourceMap, file, settings }: Aside,
    id: number,
    slot: "candidate" | "replay",
    makesRequests: boolean,
  ): Promise<OutputDefaults> {
    const { params, fetch, timeoutMs, memoryBytes, concurrency, type, limits } = settings;
    const topics = namedLevels(settings);
    const to = this.#uplinkIds(settings.to, file);
    const secrets = this.#granted(settings.secrets, file);
    const bundleSettings = { timeoutMs, memoryBytes, concurrency, params, topics, limits, fetch, secrets };
    const bundle = { name, id, version, code, sourceMap, settings: bundleSettings };
    await this.#load(bundle, file, this.#rooms.lines.apart, slot, makesRequests);
    return { to, type };
  }

  #unloadTried(name: string, id: number): void {
    this.#rooms.sandbox.unloadAside(id, "candidate");
    this.#loaded.delete(`candidate ${name}`);
  }

  /** What is loaded already, with the same settings and secrets, stays as it is. */
  async #load(
    bundle: HandlerBundle,
    file: string,
    runner: number,
    slot: "live" | "candidate" | "replay",
    makesRequests = true,
    isLater = false,
  ): Promise<void> {
    const { name, version, code, settings } = bundle;
    const what = `${slot} ${name}`;
    const digest = createHash("sha256")
      .update(JSON.stringify([version, code, settings, makesRequests]))
      .digest("hex");
    if (this.#loaded.get(what) === digest) return;
    const { sandbox } = this.#rooms;
    const load = isLater ? await sandbox.adopt(bundle) : await sandbox.load(bundle, runner, { slot, makesRequests });
    if (load?.at === "failed") throw loadFault(load.failure, file);
    this.#loaded.set(what, digest);
  }

  /** What the handler gets of `names`. Throws Fault DEPLOY_SECRET_UNKNOWN when there is not one of them, or of `more`. */
  #granted(names: readonly string[], file: string, more: readonly string[] = []): Readonly<Record<string, string>> {
    checkSecrets([...names, ...more], [...this.secrets.keys()], file);
    return Object.fromEntries(names.map((name) => [name, this.secrets.get(name) ?? ""]));
  }

  /** Dead letters of that version from that mark on are tried again. What waits for another try is tried at once anyway. */
  async takeBack(name: string, version: number, mark: number): Promise<number> {
    const { dead } = this.#rooms.journal;
    let count = 0;
    let after = mark > 0 ? `d${mark - 1}` : undefined;
    do {
      const letters = await dead.list({ handler: name, limit: PAGE, after });
      const own = letters.filter((letter) => letter.version === version && letter.kind === "task");
      const redriven = await Promise.all(own.map(({ id }) => dead.redrive(id)));
      count += redriven.filter(Boolean).length;
      after = letters.length < PAGE ? undefined : letters.at(-1)?.id;
    } while (after !== undefined);
    return count;
  }

  /**
   * Its source is gone. What waits for it stays in the journal until it comes back, is too old, or is dropped; says how
   * many tasks that are.
   */
  removed(name: string): number {
    const { journal, sandbox, triggers, lines, egress } = this.#rooms;
    this.#failures.delete(name);
    const id = journal.knownHandler(name);
    if (id === undefined) return 0;
    triggers.unbind(id);
    journal.once.forgetTicks(id);
    lines.detach(id);
    sandbox.unload(id);
    egress.forget(name);
    for (const slot of ["live", "candidate", "replay"]) this.#loaded.delete(`${slot} ${name}`);
    this.#live.delete(name);
    return this.stranded()[name] ?? 0;
  }

  failed(name: string, fault: Fault): void {
    this.#failures.set(name, fault);
  }

  mended(name: string): void {
    this.#failures.delete(name);
  }

  /**
   * Replaces the routes by those of `config`, in one turn: an event is for the old ones or for the new ones. What waits
   * for those that are gone was accepted for them, and still goes where they sent it, as far as it can for a moment.
   */
  async route(config: Config): Promise<void> {
    const { journal, triggers, lines } = this.#rooms;
    const routes = routesOf(config);
    const names = new Set(routes.map(({ name }) => name));
    const gone = this.#routes.filter(({ name }) => !names.has(name)).map(({ name }) => journal.handlerId(name));
    const next = routes.map((route) => ({
      ...route,
      id: journal.handlerId(route.name),
      uplinks: this.#uplinkIds(route.to, route.name),
    }));
    for (const id of gone) triggers.unbind(id);
    const bound = next.map((route) => ({ ...route, keyOf: triggers.bind(route.id, route) }));
    this.#routes = routes;
    for (const { name, id, uplinks, keyOf } of bound) {
      const own = {
        type: "sluice.route",
        retry: ROUTE_RETRY,
        concurrency: 1,
        route: true,
        trust: "known",
        version: ROUTE_VERSION,
      } as const;
      await lines.attach({ name, id, to: uplinks, ...own, keyOf });
    }
    const deadlineMs = performance.now() + RETIRE_MS;
    while (gone.some((id) => journal.handlerLedger(id).pending > 0) && performance.now() < deadlineMs) {
      await sleep(RETIRE_POLL_MS);
    }
    for (const id of gone) lines.detach(id);
  }

  #uplinkIds(names: readonly string[], where: string): number[] {
    const { outlets } = this.#rooms;
    return names.map((name) => {
      const id = outlets.idOf(name);
      if (id !== undefined) return id;
      const known = outlets.names.join(", ") || "none";
      throw new Fault("OUTPUT_UPLINK_UNKNOWN", `no uplink is named "${name}"; there are: ${known}`, { where });
    });
  }
}
