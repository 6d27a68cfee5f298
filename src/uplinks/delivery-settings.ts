/** The settings that all kinds of uplinks share: how entries are kept, paced and retried. */
import { z } from "zod";
import { duration, durationWithin, sizeWithin } from "../quantity.ts";
import { ENVELOPE_FORMATS } from "./envelope.ts";

/** Timers have an end: beyond 24.8 days they are over at once. */
const wait = durationWithin({ min: "1ms", max: "24h" });

const buffer = z
  .strictObject({
    sizeMax: sizeWithin({ min: "1KB" })
      .prefault("1GB")
      .meta({ description: "How many bytes of outputs may wait for this uplink." }),
    ageMax: duration
      .prefault("7d")
      .meta({ description: "Outputs older than this are not sent any more; they count as expired." }),
    whenFull: z.enum(["drop-oldest", "refuse"]).default("drop-oldest").meta({
      description:
        "At sizeMax: drop-oldest gives up the oldest outputs, which count as dropped; refuse lets the tasks that send to this uplink wait.",
    }),
  })
  .prefault({})
  .meta({ description: "What is kept while the other side cannot be reached." });

export const deliverySettings = {
  buffer,
  format: z
    .enum(ENVELOPE_FORMATS)
    .default("cloudevents")
    .meta({ description: "cloudevents sends structured CloudEvents JSON; raw sends the data alone." }),
  rate: z
    .number()
    .positive()
    .optional()
    .transform((perSecond) => perSecond ?? Infinity)
    .meta({ description: "Most outputs a second. No cap when left out." }),
  timeout: wait
    .prefault("30s")
    .meta({ description: "A batch that is not acknowledged in this time is given up and sent again." }),
  backoff: wait.prefault("500ms").meta({ description: "Wait after the first fault; doubles with each further one." }),
  backoffMax: wait.prefault("1m").meta({
    description: "The longest such wait, and the wait between tries where the settings or credentials are wrong.",
  }),
  breakerAfter: z.int().min(1).default(5).meta({
    description: "After this many faults in a row, each further try carries a single output until one gets through.",
  }),
};

const deliveryObject = z.object(deliverySettings);
/** As parsed: durations in milliseconds, sizes in bytes, the rate per second. */
export type DeliverySettings = z.output<typeof deliveryObject>;

/** What holds for an uplink that no config speaks of. */
export const deliveryDefaults: DeliverySettings = deliveryObject.parse({});
