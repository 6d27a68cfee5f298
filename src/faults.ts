/** Leaf: the table of everything that can go wrong, one line a code, grouped by room. */

import { DEPLOY_FAULTS } from "./deploy-faults.ts";
import { FETCH_FAULTS } from "./fetch-faults.ts";
import { HARNESS_FAULTS } from "./harness-faults.ts";
import { kind } from "./fault-kind.ts";
import type { FaultKind } from "./fault-kind.ts";
import { REPLAY_FAULTS } from "./replay-faults.ts";
import { TRIGGER_FAULTS } from "./trigger-faults.ts";

export type { Blame } from "./fault-kind.ts";

export const FAULTS = {
  // config
  CONFIG_UNREADABLE: kind(
    "config",
    false,
    "Check the path and its permissions; --config or SLUICE_CONFIG names another file.",
  ),
  CONFIG_INVALID: kind(
    "config",
    false,
    "Mend the place that is named; `sluice check` tries the file without starting anything.",
  ),
  CONFIG_SYNTAX: kind(
    "config",
    false,
    "Mend the YAML at the place that is named: most often it is the indentation, or a text that needs quotes.",
  ),
  CONFIG_UNKNOWN: kind(
    "config",
    false,
    "Remove the setting or mend its spelling; docs/config.md lists all that exist.",
  ),
  CONFIG_REMOVED: kind(
    "config",
    false,
    "Write the setting in its new spelling, which the message gives; UPGRADING.md says why it changed.",
  ),
  CONFIG_VARIABLE: kind(
    "config",
    false,
    "Set the variable in the gateway's environment, or give a default: ${NAME:default}.",
  ),
  CONFIG_SECRET: kind(
    "config",
    false,
    "Set the variable in the gateway's environment, or mend the file: 4 characters to 16 KB of text.",
  ),
  // control
  CONTROL_OPEN: kind(
    "config",
    false,
    "Listen on loopback, such as http://127.0.0.1:8080; to reach it from elsewhere, use ssh -L or a reverse proxy that authenticates.",
  ),
  CONTROL_LISTEN: kind(
    "box",
    true,
    "Another program has the port, or the address is not this box's: change `control.url`, or stop the other one.",
  ),
  CONTROL_TOKEN: kind(
    "box",
    false,
    "Mend the permissions of the data folder, or remove admin.token to have a new one drawn at the next start.",
  ),
  CONTROL_UNAUTHORIZED: kind(
    "usage",
    false,
    "Send `Authorization: Bearer <token>` with the token of <data>/admin.token; the CLI also takes SLUICE_TOKEN.",
  ),
  CONTROL_DENIED: kind("usage", false, "Use a token whose role may do this."),
  CONTROL_HOST: kind("usage", false, "Ask by a loopback name: localhost, 127.0.0.1 or [::1]."),
  CONTROL_CLOSING: kind("box", true, "The gateway is being stopped: ask again when it is back."),
  CONTROL_NOT_FOUND: kind("usage", false, "Check the path or the id; /api/v1/openapi.json lists what there is."),
  CONTROL_NOT_DEPLOYED: kind(
    "usage",
    false,
    "Put the handler back first, and then redrive; or drop the dead letters with `sluice dead drop`.",
  ),
  CONTROL_DEPLOYED: kind(
    "usage",
    false,
    "Its tasks run, so they are not dropped: take the handler's file, or the route, away first.",
  ),
  CONTROL_REQUEST: kind("usage", false, "Mend the request as the message says; /api/v1/openapi.json describes each."),
  CONTROL_STREAMS: kind(
    "box",
    true,
    "Close one that nobody reads any more (`sluice tail`), or raise `control.limits.streamsMax`.",
  ),
  CONTROL_UPLOADS: kind("box", true, "Ask again when other deploys are done."),
  CONTROL_TOO_LARGE: kind("usage", false, "Send less, or raise `control.limits.bodyMax`."),
  CONTROL_BROKEN: kind(
    "sluice",
    true,
    "This is a bug in Sluice: the gateway's log has the details under the same code.",
  ),
  // cli
  CLI_USAGE: kind("usage", false, "`sluice help <command>` shows what it takes, with examples."),
  CLI_UNREACHABLE: kind(
    "box",
    true,
    "Is the gateway running? `sluice run` starts it; --config, or SLUICE_URL and SLUICE_TOKEN, say where it is.",
  ),
  CLI_BROKER: kind(
    "peer",
    true,
    "Is the gateway running? Check the address with -h and -p, and the name and password.",
  ),
  CLI_REFUSED: kind(
    "usage",
    false,
    "Use a topic that does not begin with $; `sluice status` and /metrics show what other brokers say under $SYS.",
  ),
  CLI_NOT_CONFIRMED: kind("usage", false, "Say yes on the terminal, or pass --yes."),
  CLI_EXISTS: kind("usage", false, "Choose an empty folder; nothing was written."),
  CLI_TYPES: kind("usage", false, "Install it where your handlers are: `npm install --save-dev typescript`."),
  CLI_TIMEOUT: kind("peer", true, "Nothing came within the time that -W gives; wait longer, or check the topic."),
  ...HARNESS_FAULTS,
  ...TRIGGER_FAULTS,
  // tasks
  HANDLER_QUARANTINED: kind(
    "handler",
    true,
    "Deploy a version that does not do that: it runs at once. Otherwise its events wait, and it is tried again by itself.",
  ),
  TASK_CRASHED_RUNNER: kind(
    "handler",
    false,
    "The event took its runner down twice, the second time alone. Mend the handler, then redrive the dead letter.",
  ),
  OUTPUT_UPLINK_UNKNOWN: kind(
    "handler",
    false,
    "Name an uplink that the config has, in `to` of the handler's config or of ctx.emit.",
  ),
  // uplinks
  UPLINK_UNREACHABLE: kind(
    "peer",
    true,
    "Nothing to do if the network is expected to be down: entries wait and are sent in order later. Else check the address, DNS and the firewall.",
  ),
  UPLINK_TIMEOUT: kind(
    "peer",
    true,
    "The other side took the connection but did not answer in time; see whether it is overloaded, or raise `timeout`.",
  ),
  UPLINK_BUSY: kind(
    "peer",
    true,
    "The other side asked to be left alone for a while; it is tried again by itself. A `rate` cap avoids it.",
  ),
  UPLINK_DENIED: kind(
    "config",
    false,
    "Check the uplink's credentials, certificate and rights at the other side; it is tried again now and then.",
  ),
  UPLINK_NOT_FOUND: kind("config", false, "Check the uplink's URL; it is tried again now and then."),
  UPLINK_REJECTED: kind(
    "peer",
    false,
    "The other side will never take this output as it is; look at it with `sluice dead show`, mend the handler, then redrive.",
  ),
  UPLINK_TOO_LARGE: kind(
    "peer",
    false,
    "One output is larger than the other side takes; send less, or raise its limit, then redrive.",
  ),
  UPLINK_HUNG_UP: kind(
    "peer",
    true,
    "The other side closes the connection on what it is sent; its log says why. Often it is a missing right to publish on the topic.",
  ),
  UPLINK_POISON: kind(
    "peer",
    false,
    "The other side hangs up on this output and takes others; its log says why. Mend what is sent, then redrive.",
  ),
  UPLINK_FILE_FAILED: kind(
    "box",
    true,
    "Make room on the disk or mend the folder's permissions; it is tried again by itself.",
  ),
  UPLINK_SETTINGS: kind(
    "config",
    false,
    "Check the file that the uplink's settings name: it must exist, be readable and hold what it should.",
  ),
  UPLINK_UNKNOWN: kind("usage", false, "`sluice status` shows the names."),
  UPLINK_CLOSING: kind("sluice", true, "Nothing: what was not acknowledged is sent again after the start."),
  // journal
  JOURNAL_LOCKED: kind(
    "box",
    true,
    "Stop the other gateway, or give this one a data folder of its own with `gateway.data`.",
  ),
  JOURNAL_FORMAT: kind(
    "config",
    false,
    "Run the version of Sluice that wrote it, or a newer one; or name another folder in `gateway.data`.",
  ),
  JOURNAL_UNOPENABLE: kind(
    "box",
    false,
    "Check the disk and the folder's permissions. The files were left or kept beside it; a backup can be restored in their place.",
  ),
  JOURNAL_UNWRITABLE: kind(
    "box",
    true,
    "Make room on the disk of the data folder, or mend it: the gateway goes on by itself. Then ask again.",
  ),
  JOURNAL_CLOSED: kind(
    "sluice",
    true,
    "Nothing: what was not acknowledged is sent again by the device after the start.",
  ),
  JOURNAL_NAMES: kind(
    "config",
    false,
    "Handlers and uplinks get new names too often; keep their names, or start with a new data folder.",
  ),
  // broker
  BROKER_LISTENER_INVALID: kind("config", false, "Write it as mqtt://127.0.0.1:1883."),
  BROKER_LISTENER_OPEN: kind(
    "config",
    false,
    "Listen on 127.0.0.1 or ::1; listeners for the network come with authentication.",
  ),
  BROKER_LISTENER_FAILED: kind("box", true, "Another program may have the port; choose another, or stop that one."),
  BROKER_TOPIC_INVALID: kind(
    "handler",
    false,
    "Publish to a topic without wildcards and control characters that does not start with $.",
  ),
  BROKER_STORE_FAILED: kind(
    "box",
    true,
    "Check the disk that holds the data folder: its space, its permissions, its health.",
  ),
  // sandbox
  HANDLER_CONFIG_INVALID: kind(
    "handler",
    false,
    'Mend the exported `config`; the types in `HandlerConfig` from "sluice" say what it may hold.',
  ),
  HANDLER_DEAD_LETTER: kind(
    "handler",
    false,
    "The handler gave the event up on purpose; `sluice dead show` tells why, `sluice dead redrive` tries it once more.",
  ),
  HANDLER_EXPORT_MISSING: kind(
    "handler",
    false,
    "Export the function as default: `export default (event, ctx) => { … }`; docs/portability.md has what else runs.",
  ),
  HANDLER_SHAPE: kind(
    "handler",
    false,
    "Export one function that takes an event; docs/portability.md has the shapes that run here.",
  ),
  HANDLER_LOAD_THREW: kind(
    "handler",
    false,
    "The module threw while it was loaded; mend the line that the stack names.",
  ),
  HANDLER_REJECTED: kind(
    "handler",
    true,
    "Await every promise, or give it a catch: what goes wrong in one that nobody handles fails its event.",
  ),
  HANDLER_THREW: kind(
    "handler",
    true,
    "Mend the line that the stack names, then `sluice dead redrive` what was given up.",
  ),
  SANDBOX_CPU: kind(
    "handler",
    true,
    "Compute less for one event, or raise the handler's `limits.cpu`; waiting does not count.",
  ),
  SANDBOX_ISOLATE_LOST: kind(
    "sluice",
    true,
    "The event is tried again in a new isolate. If it comes back, report it with the message.",
  ),
  SANDBOX_LATE: kind(
    "handler",
    false,
    "Await what you start: a task ends when the handler returns or its promise settles.",
  ),
  SANDBOX_MEMORY: kind(
    "handler",
    true,
    "Keep less in module variables and make results smaller, or raise the handler's `memory`.",
  ),
  SANDBOX_NOT_LOADED: kind(
    "sluice",
    true,
    "The version was taken away while it was loaded; the one that took its place goes on.",
  ),
  SANDBOX_OUTPUTS_TOO_MANY: kind("handler", false, "Send fewer outputs for one event, or raise `limits.outputsMax`."),
  SANDBOX_PUBLISH_INVALID: kind("handler", false, "Publish on a topic without wildcards, with qos 0, 1 or 2."),
  SANDBOX_RESULT_INVALID: kind(
    "handler",
    false,
    "Return what JSON can say: no cycles, BigInts or functions, and of a Response its content. Bytes go out as a Uint8Array.",
  ),
  SANDBOX_RESULT_TOO_LARGE: kind("handler", false, "Send less for one event, or raise `limits.resultMax`."),
  SANDBOX_RUNNER_LOST: kind(
    "handler",
    true,
    "Loading the module took the runner's process down each time; look for memory that grows without end.",
  ),
  SANDBOX_STATE_INVALID: kind("handler", false, "Keep `ctx.state` a plain object of JSON values."),
  SANDBOX_STATE_TOO_LARGE: kind(
    "handler",
    false,
    "Keep less in `ctx.state`, choose a finer `key`, or raise `limits.stateMax`.",
  ),
  SANDBOX_STATE_TOTAL: kind(
    "handler",
    true,
    "Remove the state of keys that are done with (`ctx.state = undefined`), or raise `limits.stateTotalMax`.",
  ),
  SANDBOX_TIMERS_TOO_MANY: kind("handler", false, "Set fewer timers at a time, or raise `limits.timersMax`."),
  SANDBOX_TIMEOUT: kind("handler", true, "Make the handler faster, or raise its `timeout`."),
  SANDBOX_UNAVAILABLE: kind(
    "box",
    false,
    "The installation is incomplete or for another platform: install the packages again.",
  ),
  // what handlers fetch
  ...FETCH_FAULTS,
  // deployments
  ...DEPLOY_FAULTS,
  // replays
  ...REPLAY_FAULTS,
} as const satisfies Record<string, FaultKind>;

export type FaultCode = keyof typeof FAULTS;
