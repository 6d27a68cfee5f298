/** Tells the cloud of machines that are too hot, and how often each one has been. */
import type { Handler, HandlerConfig } from "sluice";

export const config = {
  topic: "plant/{line}/{machine}/temperature", // {name} is one level, and lands in event.params
  key: "{machine}", // order and state for each machine
  to: ["cloud"],
  params: { limit: 80 },
} satisfies HandlerConfig;

export default ((event, ctx) => {
  const { c } = event.data as { c: number };
  if (c <= ctx.params.limit) return; // nothing to say: done
  ctx.state.count = (ctx.state.count ?? 0) + 1; // saved in the same commit as the output
  return { machine: event.params.machine, c, count: ctx.state.count };
}) satisfies Handler;
