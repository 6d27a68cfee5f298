/** What signals do to a running gateway: drain, force, reload. */
import { ConfigFault, diffConfig } from "../config.ts";
import type { Config } from "../config.ts";
import { problemFault } from "../config/problem.ts";
import { messageOf } from "../fault.ts";
import { faultFields, setLogLevel } from "../log.ts";
import type { Log } from "../log.ts";
import { EXIT } from "./exit.ts";

/** What signals ask of the gateway. */
export interface Signalled {
  /** Resolves with what it took on that stands in no config: "secrets.apiKey". */
  reload(config: Config): Promise<readonly string[]>;
  /** Resolves within about `deadlineMs`. */
  close(deadlineMs: number): Promise<void>;
}

export interface Life {
  readonly gateway: Signalled;
  readonly config: Config;
  /** Reads the config file again. */
  readonly load: () => Promise<Config>;
}

/** A shutdown that takes this much longer than its deadline is forced. */
const GRACE_MS = 2000;

export interface Hangups {
  /** One came before anybody was there to reload. */
  wasAsked: boolean;
  onAsked: () => void;
}

/**
 * Hears SIGHUP from now on: it would end a process that does not listen. One that comes while the gateway is on its way
 * has the config read again when it is there, for it may have been read before it was changed.
 */
export function watchHangups(): Hangups {
  const hangups: Hangups = { wasAsked: false, onAsked: () => (hangups.wasAsked = true) };
  process.on("SIGHUP", () => hangups.onAsked());
  return hangups;
}

/**
 * Listens for signals from now on, so that one during the start is not lost. A SIGTERM or SIGINT before `until` is
 * called ends the gateway as soon as it has opened; a second one ends the process at once.
 */
export function watchSignals(log: Log, hangups: Hangups): { until(life: Life): Promise<number> } {
  let ending: NodeJS.Signals | undefined;
  let end = (): void => undefined;
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  const stop = (signal: NodeJS.Signals): void => {
    if (ending !== undefined) {
      log.warn({ signal, open: stillOpen() }, "forced to end before everything was closed");
      process.exit(signal === "SIGINT" ? EXIT.interrupted : EXIT.failed);
    }
    ending = signal;
    log.info({ signal }, "shutting down");
    end();
  };
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);

  return {
    async until({ gateway, config: first, load }) {
      let config = first;
      let reloads = Promise.resolve();
      hangups.onAsked = () => {
        reloads = reloads.then(async () => {
          if (ending === undefined) config = await reloadConfig(gateway, config, load, log);
        });
      };
      if (hangups.wasAsked) hangups.onAsked();
      await ended;
      await reloads;
      return close(gateway, config.gateway.drain, log);
    },
  };
}

/** Resolves with the config that now holds: the old one when the new one is no good. */
async function reloadConfig(gateway: Signalled, before: Config, load: Life["load"], log: Log): Promise<Config> {
  try {
    const config = await load();
    const changes = diffConfig(before, config);
    // Secrets may have other values in files that have the same names.
    const values = await gateway.reload(config);
    if (changes.length === 0 && values.length === 0) {
      log.info("the config was read again and says the same");
      return before;
    }
    const settings = (when: "now" | "restart"): string[] =>
      changes.filter((change) => change.takesEffect === when).map((change) => change.setting);
    const [applied, needsRestart] = [[...new Set([...settings("now"), ...values])], settings("restart")];
    if (applied.includes("log.level")) setLogLevel(log, config.log.level);
    if (needsRestart.length > 0)
      log.warn({ applied, needsRestart }, "the config was read again; some of it waits for a restart");
    else log.info({ applied }, "the config was read again");
    return config;
  } catch (thrown) {
    const problems = thrown instanceof ConfigFault ? thrown.problems.map((one) => problemFault(thrown.file, one)) : [];
    log.error(
      { fault: thrown, problems: problems.map(faultFields) },
      "the new config is no good; the gateway goes on with the one it has",
    );
    return before;
  }
}

async function close(gateway: Signalled, deadlineMs: number, log: Log): Promise<number> {
  const watchdog = setTimeout(() => {
    log.error({ deadlineMs, open: stillOpen() }, "the shutdown hangs; ending without it");
    process.exit(EXIT.failed);
  }, deadlineMs + GRACE_MS);
  try {
    await gateway.close(deadlineMs);
    log.info("closed");
    return EXIT.ok;
  } catch (thrown) {
    log.error({ fault: thrown, message: messageOf(thrown) }, "the shutdown failed");
    return EXIT.failed;
  } finally {
    clearTimeout(watchdog);
    endSurely(log);
  }
}

/** Everything is closed, so the process ends by itself; should something keep it alive, that is said, and it ends. */
export function endSurely(log: Log): void {
  const overdue = (): void => {
    log.error({ open: stillOpen() }, "closed, and yet something keeps the process alive; ending without it");
    process.exit(EXIT.failed);
  };
  setTimeout(overdue, GRACE_MS).unref();
}

/** What keeps the process alive, by kind: {"TCPSocketWrap": 3}. */
function stillOpen(): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const kind of process.getActiveResourcesInfo()) counts[kind] = (counts[kind] ?? 0) + 1;
  return counts;
}
