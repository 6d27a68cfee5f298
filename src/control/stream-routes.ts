/** The route of the stream: server-sent events. */
import { z } from "zod";
import { Streamed } from "./answer.ts";
import type { ApiRoute } from "./api.ts";
import type { Clock } from "../time.ts";
import type { Stream } from "./stream.ts";
import { LEVELS, STATUSES } from "./stream-entry.ts";

const query = z.object({
  handler: z.string().max(200).optional().meta({ description: "Only what is about this handler." }),
  status: z.enum(STATUSES).optional().meta({
    description: "Only outcomes like this, and no log lines unless `level` is given too. `error` is retry and dead.",
  }),
  level: z.enum(LEVELS).optional().meta({
    description: "Only log lines as grave as this or more, and no outcomes unless `status` is given too.",
  }),
  device: z.string().max(65_535).optional().meta({ description: "Only what is about events of this device." }),
  sinceMs: z.coerce.number().min(0).optional().meta({
    description: "Begin with what happened so many milliseconds ago, as far as it is kept; events done are not.",
  }),
  after: z.string().max(100).optional().meta({
    description: "Begin behind the entry with this id, as with the header Last-Event-ID.",
  }),
});

export function streamRoutes(stream: Stream, clock: Clock): readonly ApiRoute[] {
  return [
    {
      method: "GET",
      path: "/api/v1/stream",
      name: "stream",
      summary:
        "What happens, as server-sent events: log (lines of handlers), outcome (what became of events), deploy, uplink; left-out says how many were not told.",
      role: "viewer",
      query,
      answer: "text/event-stream",
      run: ({ query: asked, headers }) => {
        const { sinceMs, after, ...filter } = asked as z.output<typeof query>;
        stream.assertRoom();
        const from = {
          sinceMs: sinceMs === undefined ? undefined : clock.now() - sinceMs,
          after: after ?? headers["last-event-id"],
        };
        return new Streamed("text/event-stream", (sink) => stream.open(sink, filter, from));
      },
    },
  ];
}
