/**
 * Rig: sources of handlers that the stories deploy.
 */

export interface CountingOptions {
  readonly topic?: string;
  readonly to?: string;
  /** Written into each output, to tell versions apart. */
  readonly version?: number;
}

/** Passes each reading on and counts per device in its state, so that the oracle can tell whether state and outputs agree. */
export function countingHandler(options: CountingOptions = {}): string {
  return `
import type { Handler, HandlerConfig } from "sluice";

export const config = {
  topic: ${JSON.stringify(options.topic ?? "load/{device}")},
  key: "{device}",
  to: [${JSON.stringify(options.to ?? "cloud")}],
} satisfies HandlerConfig;

export default ((event, ctx) => {
  ctx.state.count = (ctx.state.count ?? 0) + 1;
  return { ...event.data, count: ctx.state.count, version: ${options.version ?? 1} };
}) satisfies Handler;
`;
}

/** Hands each reading on to whoever listens to `relay/<device>`, with ctx.publish. */
export function relayHandler(): string {
  return `
export const config = { topic: "load/{device}", key: "{device}" };
export default (event, ctx) => {
  ctx.publish("relay/" + event.params.device, event.bytes);
};
`;
}

/** As countingHandler, but it throws where `when` says so, of the reading's number `n`. */
export function failingHandler(version: number, when: string): string {
  return countingHandler({ version }).replace(
    "export default ((event, ctx) => {",
    `export default ((event, ctx) => {\n  const { n } = event.data as { n: number };\n  if (${when}) throw new Error("of version ${version}");`,
  );
}
