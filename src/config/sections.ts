/** The sections that belong to no room, and all sections composed. */
import { z } from "zod";
import { brokerSettings } from "../broker/settings.ts";
import { handlersSettings } from "../deployments/settings.ts";
import { journalSettings } from "../journal/settings.ts";
import { controlSettings } from "../control/settings.ts";
import { LOG_LEVELS } from "../log.ts";
import { durationWithin, filePath } from "../quantity.ts";
import { sandboxSettings } from "../sandbox/settings.ts";
import { routesSettings } from "../triggers/settings.ts";
import { uplinksSettings } from "../uplinks/settings.ts";
import { secretsSettings } from "./secrets.ts";

const gatewaySettings = z
  .strictObject({
    id: z
      .string()
      .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, {
        error: "use at most 63 letters, digits, . _ and -, a letter or digit first",
      })
      .default("edge-1")
      .meta({
        description:
          "The name of this gateway: it stands in the source of each CloudEvent and in the topics of uplinks.",
      }),
    data: filePath
      .default("../data")
      .meta({ description: "The folder of everything durable. One gateway at a time; it is locked." }),
    drain: durationWithin({ max: "1h" })
      .prefault("8s")
      .meta({ description: "How long a shutdown may take before it is forced. Docker kills after 10s by default." }),
  })
  .prefault({})
  .meta({ description: "The gateway itself." });

const logSettings = z
  .strictObject({
    level: z.enum(LOG_LEVELS).default("info").meta({ description: "The least severe lines that are written." }),
  })
  .prefault({})
  .meta({ description: "The log: JSON lines on stderr, coloured lines on a terminal." });

export const settings = z.strictObject({
  gateway: gatewaySettings,
  broker: brokerSettings.prefault({}).meta({ description: "The MQTT broker that devices publish to." }),
  journal: journalSettings.prefault({}).meta({ description: "The durable store of everything." }),
  handlers: handlersSettings.prefault({}).meta({ description: "The functions that run on events." }),
  secrets: secretsSettings,
  sandbox: sandboxSettings.prefault({}).meta({ description: "The processes and limits that contain handlers." }),
  uplinks: uplinksSettings.default({}),
  routes: routesSettings,
  control: controlSettings,
  log: logSettings,
});
