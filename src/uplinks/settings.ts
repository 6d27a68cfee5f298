/** The schema of the config's `uplinks:`, composed from the table of kinds. */
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
  .meta({ description: "Where outputs go, by name." });
