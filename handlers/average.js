/**
 * Thins out: the mean of each machine's last ten power readings, sent once every ten. Plain JavaScript needs no types to
 * work; the comment below gives an editor the same help.
 *
 * @type {import("sluice").HandlerConfig}
 */
export const config = {
  topic: "plant/{line}/{machine}/power",
  key: "{machine}",
  to: ["cloud"],
  params: { window: 10 },
};

/** @type {import("sluice").Handler} */
export default function average(event, ctx) {
  const readings = (ctx.state.readings ??= []);
  readings.push(event.data.watts);
  if (readings.length < ctx.params.window) return;
  const mean = readings.reduce((sum, watts) => sum + watts, 0) / readings.length;
  ctx.state = undefined; // the next window begins with nothing
  return { machine: event.params.machine, watts: Math.round(mean), readings: readings.length };
}
