/** Exit codes of the command line (DESIGN 5.5), and which fault leads to which. */
import type { FaultCode } from "../fault.ts";

export const EXIT = {
  ok: 0,
  failed: 1,
  usage: 2,
  config: 3,
  unreachable: 4,
  denied: 5,
  /** Not found, or in conflict with what is there. */
  conflict: 6,
  partly: 7,
  interrupted: 130,
} as const;

const BY_CODE: Partial<Record<FaultCode, number>> = {
  CLI_USAGE: EXIT.usage,
  CLI_REFUSED: EXIT.denied,
  CLI_NOT_CONFIRMED: EXIT.usage,
  CLI_UNREACHABLE: EXIT.unreachable,
  CLI_BROKER: EXIT.unreachable,
  CLI_EXISTS: EXIT.conflict,
  HARNESS_NO_HANDLER: EXIT.conflict,
  HARNESS_NO_CASES: EXIT.conflict,
  CASES_INVALID: EXIT.config,
  CASES_UNREADABLE: EXIT.config,
  JOURNAL_LOCKED: EXIT.conflict,
  JOURNAL_UNWRITABLE: EXIT.unreachable,
  BROKER_LISTENER_INVALID: EXIT.config,
  BROKER_LISTENER_OPEN: EXIT.config,
  CONTROL_OPEN: EXIT.config,
  TRIGGER_KEY_INVALID: EXIT.config,
  UPLINK_SETTINGS: EXIT.config,
  UPLINK_UNKNOWN: EXIT.conflict,
  CONTROL_UNAUTHORIZED: EXIT.denied,
  CONTROL_DENIED: EXIT.denied,
  CONTROL_HOST: EXIT.denied,
  CONTROL_NOT_FOUND: EXIT.conflict,
  CONTROL_NOT_DEPLOYED: EXIT.conflict,
  CONTROL_DEPLOYED: EXIT.conflict,
  CONTROL_CLOSING: EXIT.unreachable,
  CONTROL_STREAMS: EXIT.conflict,
  DEPLOY_IN_FOLDER: EXIT.conflict,
  DEPLOY_NOTHING_LIVE: EXIT.conflict,
  DEPLOY_NO_CANDIDATE: EXIT.conflict,
  DEPLOY_NO_VERSION: EXIT.conflict,
  DEPLOY_ON_PROBATION: EXIT.conflict,
  DEPLOY_OTHER_TRIGGERS: EXIT.conflict,
  DEPLOY_SAME: EXIT.conflict,
  REPLAY_NOT_STOPPED: EXIT.conflict,
  REPLAY_NOTHING_KEPT: EXIT.conflict,
  REPLAY_RUNNING: EXIT.conflict,
  CONTROL_REQUEST: EXIT.usage,
};

export function exitOf(code: FaultCode): number {
  return BY_CODE[code] ?? (code.startsWith("CONFIG_") ? EXIT.config : EXIT.failed);
}
