/**
 * Routes: `{ from: "audit/#", to: [cloud] }` sends events on as they are. A route is a handler whose code is this file:
 * its events are tasks, its outputs go through the same commit, and nothing of it needs an isolate.
 */
import { isUtf8 } from "node:buffer";
import { eventRecord } from "../event.ts";
import type { Task } from "../task.ts";
import type { RunResult } from "./run.ts";

/** Routes have no versions: the config that made them is the gateway's. */
export const ROUTE_VERSION = 1;

/** What a route comes to for each task. JSON payloads stay JSON; text becomes a JSON string; the rest stays bytes. */
export function forward(tasks: readonly Task[]): RunResult[] {
  return tasks.map(({ page, at }) => {
    const payload = eventRecord.payload(page, at);
    const json = asJson(payload);
    return { at: "done", outputs: [{ data: json ?? payload, json: json !== undefined }], state: undefined };
  });
}

function asJson(payload: Buffer): Buffer | undefined {
  if (!isUtf8(payload)) return undefined;
  const text = payload.utf8Slice();
  try {
    JSON.parse(text);
    return payload;
  } catch {
    return Buffer.from(JSON.stringify(text));
  }
}
