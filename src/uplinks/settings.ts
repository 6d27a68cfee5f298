/** The schema of the config's `uplinks:`, composed from the table of kinds. */
import { resolve } from "node:path";
import { z } from "zod";
import { UPLINK_KINDS } from "./kinds.ts";

export const uplinkSettings = z
  .discriminatedUnion("kind", [UPLINK_KINDS.file.settings, UPLINK_KINDS.https.settings, UPLINK_KINDS.mqtt.settings])
  .meta({ description: "One destination for outputs." });

export type UplinkSettings = z.output<typeof uplinkSettings>;

/** Names stand in topics, URLs, metrics and file names. */
export const uplinksSettings = z
  .record(
    z.string().regex(/^[a-z0-9][a-z0-9_-]{0,63}$/i, { error: "an uplink's name has letters, digits, - and _" }),
    uplinkSettings,
  )
  .superRefine((uplinks, ctx) => {
    const taken = new Map<string, string>();
    for (const [name, settings] of Object.entries(uplinks)) {
      if (settings.kind !== "file") continue;
      // config.ts has made it absolute; two spellings of one place are one.
      const path = resolve(settings.path);
      const other = taken.get(path);
      if (other !== undefined) {
        const message = `is the file of uplink ${other} as well, and each would rotate it under the other`;
        ctx.addIssue({ code: "custom", path: [name, "path"], message });
      }
      taken.set(path, name);
    }
  })
  .meta({ description: "Where outputs go, by name." });
