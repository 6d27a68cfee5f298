/**
 * The demo's handler: passes each reading on, numbered. The number lives in the key's state, which is saved in the same
 * write as the output; so however often the gateway is killed, the cloud sees 1, 2, 3, … of each device.
 */
import type { Handler, HandlerConfig } from "sluice";

export const config = {
  topic: "load/{device}",
  key: "{device}",
  to: ["cloud"],
} satisfies HandlerConfig;

export default ((event, ctx) => {
  ctx.state.count = (ctx.state.count ?? 0) + 1;
  return { ...event.data, count: ctx.state.count };
}) satisfies Handler;
