/** From a module's exported config and the gateway's, what the handler has set. Says which of the two is wrong. */
import type { z } from "zod";
import { Fault } from "../fault.ts";
import { configPlace } from "./places.ts";
import { handlerSettings, mergeSettings } from "./settings.ts";
import type { HandlerSettings, HandlersSettings } from "./settings.ts";

/** The known name that is nearest to a mistyped one. */
export type Suggest = (name: string, known: readonly string[]) => string | undefined;

export interface ComposeOptions {
  readonly name: string;
  /** Where the source begins, for people. */
  readonly file: string;
  /** Of the bundle, where it is at hand: settings are looked up in the source. */
  readonly sourceMap?: string | undefined;
  /** What the module exports as config. */
  readonly exported: unknown;
  readonly gateway: Pick<HandlersSettings, "defaults" | "settings">;
  readonly suggest: Suggest;
}

/** Throws Fault DEPLOY_CONFIG_INVALID or DEPLOY_NO_TRIGGER. */
export function composeSettings(options: ComposeOptions): HandlerSettings {
  const { name, file, sourceMap = "", exported, gateway, suggest } = options;
  const place = (path: readonly PropertyKey[]): string => configPlace({ file, sourceMap }, path);
  const parsed = handlerSettings.safeParse(exported ?? {});
  if (!parsed.success) {
    const problems = parsed.error.issues.map((issue) => describe(issue, suggest));
    const [first] = parsed.error.issues;
    const path = first?.code === "unrecognized_keys" ? [...first.path, ...first.keys.slice(0, 1)] : first?.path;
    throw new Fault("DEPLOY_CONFIG_INVALID", `the exported config of handler ${name}: ${problems.join("; ")}`, {
      where: place(path ?? []),
    });
  }
  const own = Object.hasOwn(gateway.settings, name) ? gateway.settings[name] : undefined;
  const settings = mergeSettings(name, [gateway.defaults, parsed.data, own ?? {}]);
  const { topics, schedule, webhook, on } = settings;
  if (topics.length === 0 && schedule === undefined && webhook === undefined && on.length === 0) {
    const why = "it has no topic, no schedule, no webhook, and waits for nothing";
    throw new Fault("DEPLOY_NO_TRIGGER", `nothing ever runs handler ${name}: ${why}`, { where: place([]) });
  }
  return settings;
}

function describe(issue: z.core.$ZodIssue, suggest: Suggest): string {
  const path = issue.path.map(String);
  if (issue.code === "unrecognized_keys") {
    return issue.keys
      .map((key) => {
        const meant = meantBy(key, path[0] ?? "", suggest);
        const hint = meant === undefined ? "" : `, did you mean \`${meant}\`?`;
        return `there is no setting \`${[...path, key].join(".")}\`${hint}`;
      })
      .join("; ");
  }
  const place = path.length === 0 ? "" : `\`${path.join(".")}\`: `;
  return `${place}${issue.message.charAt(0).toLowerCase()}${issue.message.slice(1)}`;
}

/** The setting that is written like that in the group `here` ("" is none) or in another one; or, in `here`, much like it. */
function meantBy(key: string, here: string, suggest: Suggest): string | undefined {
  const { shape } = handlerSettings;
  const groups = { "": shape, limits: shape.limits.unwrap().shape, retry: shape.retry.unwrap().shape };
  const all = Object.entries(groups).sort(([a], [b]) => Number(b === here) - Number(a === here));
  const named = (group: string, name: string): string => (group === "" ? name : `${group}.${name}`);
  for (const [group, names] of all) if (Object.hasOwn(names, key)) return named(group, key);
  for (const [group, names] of all) {
    const near = suggest(key, Object.keys(names));
    if (near !== undefined) return named(group, near);
  }
  return undefined;
}
