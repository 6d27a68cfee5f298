/** The schema of the config's `routes:`, which are triggers without a handler. */
import { z } from "zod";
import { Fault, messageOf } from "../fault.ts";
import { parseTopicFilter } from "../topic.ts";
import { parseKeyTemplate } from "./key.ts";

const topicFilter = z.string().superRefine((text, ctx) => {
  try {
    parseTopicFilter(text);
  } catch (thrown) {
    ctx.addIssue({ code: "custom", message: `is wrong: ${messageOf(thrown)}` });
    return;
  }
  // Devices may not publish there, so that nothing would ever say that such a route does nothing.
  if (text.startsWith("$")) {
    ctx.addIssue({
      code: "custom",
      message: `can never match: no event has a topic that begins with $, as "${text}" wants it`,
      params: { remedy: "Name topics that devices publish to; $SYS and $share are for subscribers of other brokers." },
    });
  }
});

const route = z
  .strictObject({
    from: z
      .union([topicFilter, z.array(topicFilter).min(1)])
      .meta({ description: "A topic filter, or a list of them." }),
    to: z.array(z.string()).min(1).meta({ description: "Names of uplinks." }),
    key: z.string().optional().meta({ description: "What orders the outputs; default: the topic." }),
  })
  .superRefine(({ from, key }, ctx) => {
    try {
      parseKeyTemplate(key, (typeof from === "string" ? [from] : from).map(parseTopicFilter));
    } catch (thrown) {
      // A filter that is wrong has its own issue.
      if (!(thrown instanceof Fault) || thrown.code !== "TRIGGER_KEY_INVALID") return;
      ctx.addIssue({
        code: "custom",
        path: ["key"],
        // Not the fault's own words: they quote the filter, which may hold what came from the environment (F2).
        message: "names a level that a filter in `from` does not have",
        params: { fault: thrown.code },
      });
    }
  });

type Route = z.output<typeof route>;

const topicsOf = ({ from }: Route): readonly string[] => (typeof from === "string" ? [from] : from);

/** Routes of the same topics are one, which goes to all that they name; it has one key. */
function refuseTwoKeys(routes: readonly Route[], ctx: z.RefinementCtx): void {
  const first = new Map<string, number>();
  for (const [index, each] of routes.entries()) {
    const topics = JSON.stringify(topicsOf(each));
    const before = first.get(topics) ?? index;
    first.set(topics, before);
    if (routes[before]?.key === each.key) continue;
    const message = `is not that of routes[${before}], which has the same topics: they are one route, with one key`;
    ctx.addIssue({ code: "custom", path: [index, "key"], message });
  }
}

export const routesSettings = z
  .array(route)
  .superRefine(refuseTwoKeys)
  .default([])
  .meta({ description: "Topics to forward without code." });
