/** The table of kinds: an uplink kind is one file and one line here. */
import { fileKind } from "./file.ts";
import { httpsKind } from "./https.ts";
import { mqttKind } from "./mqtt.ts";

export const UPLINK_KINDS = {
  file: fileKind,
  https: httpsKind,
  mqtt: mqttKind,
} as const;
