/** The part of the table of faults that is of deployments and versions: see faults.ts. */
import { kind } from "./fault-kind.ts";

export const DEPLOY_FAULTS = {
  DEPLOY_BUILD_FAILED: kind(
    "handler",
    false,
    "Mend the place that is named and save; the last good version goes on meanwhile.",
  ),
  DEPLOY_CONFIG_INVALID: kind(
    "handler",
    false,
    "Mend the exported `config`, or the handler's entry in `handlers.settings`.",
  ),
  DEPLOY_DIR_UNREADABLE: kind("config", true, "Create the folder that `handlers.dir` names, or mend its permissions."),
  DEPLOY_LOAD_FAILED: kind(
    "handler",
    false,
    "The module threw, or did not end, while it was loaded; mend the place that is named and save.",
  ),
  DEPLOY_NAME_INVALID: kind(
    "handler",
    false,
    "Use at most 63 small letters, digits, - and _, a letter or digit first; the file's name is the handler's.",
  ),
  DEPLOY_NAME_TAKEN: kind("handler", false, "Rename one of the two, or remove it."),
  DEPLOY_NODE_BUILTIN: kind(
    "handler",
    false,
    "Use what the isolate has, or a package that is made for browsers or workers.",
  ),
  DEPLOY_NOT_A_FILE: kind(
    "handler",
    false,
    "Put a regular file there, a link to one, or a folder with an index file; or move it out of the handlers' folder.",
  ),
  DEPLOY_NO_TRIGGER: kind(
    "handler",
    false,
    'Export `config = { topic: "…" }`, or set `handlers.settings.<name>.topic`.',
  ),
  DEPLOY_SECRET_UNKNOWN: kind(
    "config",
    false,
    "Add the secret to the section `secrets` of the gateway's config, or take its name out of the handler's.",
  ),
  DEPLOY_STORE_DAMAGED: kind(
    "box",
    false,
    "Numbering goes on above all files that are there, and nothing was removed. Look at the disk.",
  ),
  DEPLOY_STORE_FAILED: kind(
    "box",
    true,
    "Make room in the data folder, or mend its permissions; then deploy again. What is saved in the handlers' folder is tried again by itself.",
  ),
  DEPLOY_TIMEOUT: kind(
    "handler",
    true,
    "Import less, and nothing from a file system that does not answer; then save the handler again.",
  ),
  DEPLOY_TOO_LARGE: kind("handler", false, "Import less; data of this size belongs into events, not into code."),
  DEPLOY_TOO_MANY: kind("config", false, "Put several triggers into one handler, or use a second gateway."),
  DEPLOY_IN_FOLDER: kind("handler", false, "Delete its source from the handlers' folder; the handler goes with it."),
  DEPLOY_NOTHING_LIVE: kind("usage", false, "Deploy it without --canary and --shadow first."),
  DEPLOY_NO_CANDIDATE: kind("usage", false, "Deploy a version with --canary or --shadow first."),
  DEPLOY_NO_VERSION: kind("usage", false, "`sluice versions <name>` lists those that are kept."),
  DEPLOY_ON_PROBATION: kind(
    "usage",
    true,
    "Wait until it has passed, as `sluice versions <name>` shows, or take it back with `sluice rollback <name>`.",
  ),
  DEPLOY_OTHER_TRIGGERS: kind(
    "handler",
    false,
    "Events and keys of the two would not be the same, so they cannot be compared: deploy it without --canary and --shadow.",
  ),
  DEPLOY_SAME: kind("usage", false, "There is nothing to do: it runs already."),
  HANDLER_ROLLED_BACK: kind(
    "handler",
    false,
    "Mend the handler and deploy it again; the version before it goes on meanwhile. `sluice versions <name>` says what happened.",
  ),
} as const;
