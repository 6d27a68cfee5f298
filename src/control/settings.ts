/** Settings of the control room: the section `control` of the config. */
import { z } from "zod";
import { duration, size } from "../quantity.ts";
import { isLoopback } from "./loopback.ts";

const controlUrl = z
  .string()
  .superRefine((text, ctx) => {
    const url = URL.canParse(text) ? new URL(text) : undefined;
    if (url?.protocol !== "http:" || url.pathname !== "/" || url.search !== "" || url.username !== "") {
      ctx.addIssue({ code: "custom", message: "must be a url such as http://127.0.0.1:8080" });
      return;
    }
    if (!isLoopback(url.hostname)) {
      ctx.addIssue({
        code: "custom",
        message: `would open the control API beyond this box, at ${url.hostname}`,
        params: { fault: "CONTROL_OPEN" },
      });
    }
  })
  .meta({
    description:
      "Where the control API listens: health, metrics and /api/v1, over HTTP. Loopback only; port 0 takes any free port.",
  });

export const controlSettings = z
  .strictObject({
    url: controlUrl.default("http://127.0.0.1:8080"),
    limits: z
      .strictObject({
        bodyMax: size.prefault("1MB").meta({ description: "The largest body of a request." }),
        connectionsMax: z.int().min(1).max(10_000).default(100).meta({
          description:
            "Connections open at the same time; a further one takes the place of the one that has been idle, or sending its request, for longest.",
        }),
        streamsMax: z
          .int()
          .min(1)
          .max(100)
          .default(8)
          .meta({ description: "Readers of the stream (`sluice tail`) at the same time; further ones are refused." }),
        requestTimeout: duration.prefault("30s").meta({ description: "How long a client may take to send a request." }),
      })
      .prefault({})
      .meta({ description: "What a client of the control API may use." }),
  })
  .prefault({})
  .meta({ description: "The control API: health, metrics, status, dead letters." });

export type ControlSettings = Readonly<z.output<typeof controlSettings>>;
