/**
 * Door of the harness: handlers run as a gateway runs them, without a gateway: for `sluice test`, `sluice invoke` and
 * `sluice/testing`.
 *
 * Mechanism. A workbench has the handlers' settings of a config, where there is one, and a sandbox with one runner: the
 * same build, the same isolates, the same limits as in a gateway. A handler that is taken from its source (take()) is built,
 * inspected for its config and loaded; a sitting (sitting.ts) sends it events one by one, keeps the states of its keys, and
 * tells what came of each. Nothing is journaled, and nothing leaves.
 *
 *   H1  The same events, given the same, come to the same: the time is given, chance is drawn from the event, timers are
 *       due at once, and a fetch is answered by whoever runs the test.
 *   H2  An event is tried once. What a gateway would do next, a further try or a dead letter, is told and not done.
 *   H3  Each event finds the module as if it had just been loaded, as any may in a gateway; but in a live sitting.
 *
 * Limits: those of the handler. A sitting keeps what it is told to keep; tests are small.
 */
import { basename, dirname, relative, sep } from "node:path";
import { answering } from "./fetch-answers.ts";
import { nearest } from "../config/similar.ts";
import { buildHandler, shownRoot } from "../deployments/build.ts";
import { composeSettings } from "../deployments/compose.ts";
import { placed } from "../deployments/places.ts";
import { mergeSettings } from "../deployments/settings.ts";
import type { HandlerSettings, HandlersSettings } from "../deployments/settings.ts";
import { findSources } from "../deployments/sources.ts";
import type { HandlerSource } from "../deployments/sources.ts";
import { Fault } from "../fault.ts";
import type { Fetch } from "../fetch.ts";
import { createLog } from "../log.ts";
import { buildPrograms } from "../sandbox/programs.ts";
import type { Programs } from "../sandbox/programs.ts";
import { runnerCommand } from "../sandbox/runner-process.ts";
import { Sandbox } from "../sandbox/sandbox.ts";
import { sandboxSettings } from "../sandbox/settings.ts";
import type { SandboxSettings } from "../sandbox/settings.ts";
import type { LogLevel } from "../sandbox/results.ts";
import { systemClock } from "../time.ts";
import { namedLevels, Triggers } from "../triggers/triggers.ts";
import type { KeyOf } from "../triggers/triggers.ts";

export interface WorkbenchOptions {
  /** The `handlers` section of a config; `dir` is absolute. */
  readonly handlers: HandlersSettings;
  readonly sandbox?: SandboxSettings;
  readonly gatewayId?: string;
  /** Uplinks that there are; undefined: any name will do. */
  readonly uplinks?: readonly string[] | undefined;
}

/** What is given to a handler, over what its own config and the gateway's say. */
export interface Given {
  readonly params?: Readonly<Record<string, unknown>> | undefined;
  /** Values by name. A secret that the handler asks for and that is not given is `test-<name>`. */
  readonly secrets?: Readonly<Record<string, string>> | undefined;
  /** It is the version after that one, which wrote the states that it finds. */
  readonly stateVersion?: number | undefined;
}

/** A handler that is loaded and can be sent events. */
export interface Taken {
  readonly name: string;
  readonly id: number;
  readonly version: number;
  readonly settings: HandlerSettings;
  /** Where its source begins, for people. */
  readonly file: string;
  readonly keyOf: KeyOf;
}

/** One that is built and inspected: what it is given is still to come. */
interface Built {
  readonly name: string;
  readonly file: string;
  readonly code: string;
  readonly sourceMap: string;
  readonly inputs: readonly string[];
  readonly exported: unknown;
}

/** A line that a handler logged. */
export interface LogLine {
  readonly level: LogLevel;
  readonly message: string;
}

/** What the sitting that runs an event has to say to the sandbox. */
export interface Hands {
  fetch: Fetch | undefined;
  logs: LogLine[];
}

export const JOURNAL_ID = "test";
const nobody = answering([], []);
const VERSION = 1;
/** The one runner. */
const RUNNER = 0;

export class Workbench {
  readonly sandbox: Sandbox;
  readonly hands: Hands;
  readonly options: WorkbenchOptions;
  readonly triggers = new Triggers();
  readonly #ids = new Map<string, number>();

  private constructor(options: WorkbenchOptions, sandbox: Sandbox, hands: Hands) {
    this.options = options;
    this.sandbox = sandbox;
    this.hands = hands;
  }

  /** `programs`: what a runner is made of, when somebody has begun to build it. Throws Fault SANDBOX_UNAVAILABLE. */
  static async open(options: WorkbenchOptions, programs: Promise<Programs> = buildPrograms()): Promise<Workbench> {
    const hands: Hands = { fetch: undefined, logs: [] };
    const sandbox = await Sandbox.open({
      command: runnerCommand(await programs),
      settings: { ...(options.sandbox ?? sandboxSettings.parse({})), runners: 1, cgroup: "off" },
      journalId: JOURNAL_ID,
      gatewayId: options.gatewayId ?? "edge-1",
      clock: systemClock,
      log: createLog({ level: "silent", pretty: false }),
      onLog: (_handler, _version, level, message) => hands.logs.push({ level, message }),
      fetch: (request, done) => (hands.fetch ?? nobody)(request, done),
    });
    return new Workbench(options, sandbox, hands);
  }

  /** Sources in the handlers' folder, by name. Throws Fault DEPLOY_DIR_UNREADABLE. */
  async sources(): Promise<ReadonlyMap<string, HandlerSource>> {
    const { handlers } = await findSources(this.options.handlers.dir);
    return new Map(handlers.map((source) => [source.name, source]));
  }

  /** Throws Fault HARNESS_NO_HANDLER, saying which there are. */
  async source(name: string): Promise<HandlerSource> {
    const sources = await this.sources();
    const source = sources.get(name);
    if (source !== undefined) return source;
    const meant = nearest(name, sources.keys());
    const known = [...sources.keys()].slice(0, 20).join(", ");
    throw new Fault("HARNESS_NO_HANDLER", `there is no handler "${name}"`, {
      where: this.options.handlers.dir,
      ...(known === "" ? {} : { remedy: meant === undefined ? `There are: ${known}.` : `Did you mean "${meant}"?` }),
    });
  }

  /** Builds and inspects it. Throws the Fault that a deploy would. */
  async build({ name, entry }: HandlerSource): Promise<Built> {
    const root = shownRoot(this.options.handlers.dir);
    const file = relative(root, entry).split(sep).join("/");
    const { code, sourceMap, inputs } = await buildHandler(name, entry, root);
    const { timeoutMs, memoryBytes } = mergeSettings(name, [this.options.handlers.defaults, this.#layer(name)]);
    const settings = { timeoutMs, memoryBytes, params: {}, topics: [] };
    const loaded = await this.sandbox.inspect({ name, id: 0, version: VERSION, code, sourceMap, settings }, RUNNER);
    if (loaded.at === "failed") throw loadFault(loaded.failure, file);
    return { name, file, code, sourceMap, inputs, exported: loaded.config };
  }

  /** Loads it with what it is given. Throws the Fault that a deploy would. */
  async take(built: Built, given: Given = {}): Promise<Taken> {
    const { name, file, code, sourceMap, exported } = built;
    const { handlers, uplinks } = this.options;
    const own = this.#layer(name);
    const layer = { ...own, params: { ...own.params, ...(given.params as typeof own.params) } };
    const gateway = { defaults: handlers.defaults, settings: { ...handlers.settings, [name]: layer } };
    const settings = composeSettings({ name, file, sourceMap, exported, gateway, suggest: nearest });
    const id = this.#idOf(name);
    let keyOf: KeyOf;
    try {
      const unknown = uplinks === undefined ? undefined : settings.to.find((uplink) => !uplinks.includes(uplink));
      if (unknown !== undefined) throw new Fault("OUTPUT_UPLINK_UNKNOWN", `there is no uplink "${unknown}"`);
      keyOf = this.triggers.bind(id, { ...settings, name });
    } catch (thrown) {
      throw thrown instanceof Fault ? placed(thrown, name, built, gateway) : thrown;
    }
    const secrets = Object.fromEntries(settings.secrets.map((each) => [each, given.secrets?.[each] ?? `test-${each}`]));
    const topics = namedLevels(settings);
    const version = given.stateVersion === undefined ? VERSION : given.stateVersion + 1;
    const bundle = { name, id, version, code, sourceMap, settings: { ...settings, topics, secrets } };
    const loaded = await this.sandbox.load(bundle, RUNNER);
    if (loaded.at === "failed") throw loadFault(loaded.failure, file);
    return { name, id, version, settings, file, keyOf };
  }

  async close(): Promise<void> {
    await this.sandbox.close();
  }

  #layer(name: string): HandlersSettings["settings"][string] {
    const { settings } = this.options.handlers;
    return (Object.hasOwn(settings, name) ? settings[name] : undefined) ?? {};
  }

  #idOf(name: string): number {
    const known = this.#ids.get(name);
    if (known !== undefined) return known;
    this.#ids.set(name, this.#ids.size + 1);
    return this.#ids.size;
  }
}

/** A source by its file, wherever it lies: the handler's name is what the handlers' folder would make of it. */
export function sourceAt(file: string): HandlerSource {
  const name = basename(file).replace(/\.\w+$/, "");
  return { name: name === "index" ? basename(dirname(file)) : name, entry: file };
}

function loadFault(failure: { code: string; message: string; where?: string }, file: string): Fault {
  return new Fault("DEPLOY_LOAD_FAILED", `${failure.message} (${failure.code})`, { where: failure.where ?? file });
}
