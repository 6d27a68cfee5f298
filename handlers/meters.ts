/**
 * Cleans up: meters of three makes, which say the same thing in three ways, leave as one shape. What no try can make
 * sense of becomes a dead letter at once, where `sluice dead ls` shows it.
 */
import { DeadLetter } from "sluice";
import type { Handler, HandlerConfig } from "sluice";

export const config = {
  topic: ["meters/{meter}/reading", "legacy/{meter}"],
  to: ["cloud"],
} satisfies HandlerConfig;

export default ((event, ctx) => {
  const kwh = read(event.data);
  if (kwh === undefined) throw new DeadLetter(`meter ${event.params.meter} sent no reading`);
  ctx.publish(`clean/${event.params.meter}`, { kwh }, { retain: true }); // for displays on site
  return { meter: event.params.meter, kwh, at: event.time };
}) satisfies Handler;

/** `{"kwh": 12.5}`, `{"Wh": 12500}`, or the bare text `12,5 kWh`. */
function read(data: unknown): number | undefined {
  if (typeof data === "string") {
    const number = Number.parseFloat(data.replace(",", "."));
    return Number.isFinite(number) ? number : undefined;
  }
  if (typeof data === "number") return data;
  const { kwh, Wh } = (data ?? {}) as { kwh?: number; Wh?: number };
  return kwh ?? (Wh === undefined ? undefined : Wh / 1000);
}
