/**
 * The composition behind `sluice check`: builds every handler, loads it in a sandbox, checks its settings against the
 * triggers and the uplinks, and keeps nothing of it. The data folder is not touched, so that a running gateway is not
 * disturbed.
 */
import type { Config } from "./config.ts";
import { nearest } from "./config/similar.ts";
import { Deployments } from "./deployments/deployments.ts";
import type { LiveHandler } from "./deployments/deployments.ts";
import { shownGrants } from "./deployments/grants.ts";
import type { ShownGrants } from "./deployments/grants.ts";
import { shownTriggers } from "./deployments/shown.ts";
import { webhookSecrets } from "./deployments/trigger-settings.ts";
import { Fault } from "./fault.ts";
import { checkSecrets } from "./gateway/secrets.ts";
import { createLog } from "./log.ts";
import { Sandbox } from "./sandbox/sandbox.ts";
import { systemClock } from "./time.ts";
import { Triggers } from "./triggers/triggers.ts";

export interface HandlerCheck {
  readonly name: string;
  /** Why it does not build or load, with file:line:column where they are known; undefined when it does. */
  readonly fault: Fault | undefined;
  /** undefined when it does not get as far as that. */
  readonly grants: ShownGrants | undefined;
  /** What runs it, a line each: "topic plant/+". */
  readonly triggers: readonly string[] | undefined;
  /** Uplinks that what it returns goes to. */
  readonly to: readonly string[] | undefined;
}

/** In the order of names. Throws a Fault when no runner can be had. */
export async function checkHandlers(config: Config): Promise<readonly HandlerCheck[]> {
  const log = createLog({ level: "silent", pretty: false });
  const checks = new Map<string, HandlerCheck>();
  const triggers = new Triggers();
  const sandbox = await Sandbox.open({
    settings: { ...config.sandbox, runners: 1, cgroup: "off" },
    journalId: "check",
    gatewayId: config.gateway.id,
    clock: systemClock,
    log,
    onLog: () => undefined,
  });
  try {
    const deployments = await Deployments.open({
      handlers: { ...config.handlers, watch: false },
      folder: undefined,
      clock: systemClock,
      log,
      suggest: nearest,
      inspect: ({ name, code, sourceMap, timeoutMs, memoryBytes }) =>
        sandbox.inspect({
          name,
          id: 0,
          version: 0,
          code,
          sourceMap,
          settings: { timeoutMs, memoryBytes, params: {}, topics: [] },
        }),
      live: async (handler) => {
        checkSettings(handler, triggers, Object.keys(config.uplinks), checks.size);
        checkSecrets(
          [...handler.settings.secrets, ...webhookSecrets(handler.settings.webhook)],
          Object.keys(config.secrets),
          handler.file,
        );
        const { name, settings } = handler;
        checks.set(name, {
          name,
          fault: undefined,
          grants: shownGrants(settings),
          triggers: shownTriggers(settings),
          to: settings.to,
        });
      },
      removed: () => 0,
      failed: (name, fault) => checks.set(name, { name, fault, grants: undefined, triggers: undefined, to: undefined }),
      mended: () => undefined,
      takeBack: () => Promise.resolve(0),
      letterMark: () => 0,
    });
    await deployments.close();
  } finally {
    await sandbox.close();
  }
  return [...checks.values()].sort((a, b) => a.name.localeCompare(b.name));
}

/** What the gateway would refuse when the handler goes live. */
function checkSettings(
  { name, file, settings }: LiveHandler,
  triggers: Triggers,
  uplinks: readonly string[],
  id: number,
): void {
  const { topics, key, schedule, webhook, on } = settings;
  triggers.bind(id, { name, topics, key, schedule, webhook, on });
  const unknown = settings.to.find((name) => !uplinks.includes(name));
  if (unknown === undefined) return;
  const meant = nearest(unknown, uplinks);
  throw new Fault("OUTPUT_UPLINK_UNKNOWN", `there is no uplink "${unknown}"`, {
    where: file,
    ...(meant === undefined ? {} : { remedy: `Did you mean "${meant}"?` }),
  });
}
