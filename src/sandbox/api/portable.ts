/**
 * Modules that were written for other platforms, as handlers: an AWS Lambda function, and a CloudEvent function of the
 * Functions Framework. What they get is what they would get there, as far as there is something of that kind here:
 * docs/portability.md. What they return is sent, as with any handler.
 */
import type { GuestSettings } from "../isolates.ts";
import type { Context } from "./context.ts";
import { Refusal } from "./failure.ts";
import { isArray, jsonStringify, keys, later } from "./primordials.ts";

/** What runs for an event. */
export type Handle = (event: unknown, context: Context) => unknown;
export type Surrounded = Pick<GuestSettings, "handler" | "version" | "gatewayId" | "memoryBytes"> & {
  readonly limits: { readonly timeoutMs: number };
};

type Foreign = (...args: unknown[]) => unknown;
/** The event as the house makes it. */
type Event = Readonly<Record<string, unknown>>;

/** Under these names a single function is a Lambda's; the second is what AWS SAM's templates call it. */
const LAMBDA_NAMES: readonly string[] = ["handler", "lambdaHandler"];
const NO_FUNCTIONS: readonly string[] = ["config", "default", "migrate"];
/** Where the shim of the Functions Framework (deployments/shims.ts) leaves what was registered with it. */
const REGISTERED = Symbol.for("sluice.functions");

interface Registered {
  readonly kind: "cloudEvent" | "http";
  readonly name: string;
  readonly run: unknown;
}

/** undefined: the module is of no shape that is known here. Throws a Refusal when it is one that cannot run. */
export function portableHandle(
  exported: Readonly<Record<string, unknown>>,
  around: Surrounded,
  now: () => number,
): Handle | undefined {
  for (let i = 0; i < LAMBDA_NAMES.length; i++) {
    const lambda = exported[LAMBDA_NAMES[i] as string];
    if (typeof lambda === "function") return lambdaHandle(lambda as Foreign, around, now);
  }
  return registeredHandle(around.handler) ?? exportedHandle(exported, around.handler);
}

// --- Lambda: (event, context) or (event, context, callback)

function lambdaHandle(lambda: Foreign, around: Surrounded, now: () => number): Handle {
  const { handler, version, gatewayId, memoryBytes, limits } = around;
  const same = {
    callbackWaitsForEmptyEventLoop: true,
    functionName: handler,
    functionVersion: `${version}`,
    invokedFunctionArn: `arn:sluice:lambda:${gatewayId}:0:function:${handler}:${version}`,
    memoryLimitInMB: `${memoryBytes / 1_048_576}`,
    logGroupName: `/sluice/${handler}`,
    logStreamName: `[${version}]${gatewayId}`,
  };
  return (event) => {
    const happened = event as Event;
    const endMs = now() + limits.timeoutMs;
    const { topic, params, device, id, time, type } = happened;
    const context = {
      ...same,
      awsRequestId: id,
      getRemainingTimeInMillis: () => (endMs > now() ? endMs - now() : 0),
      clientContext: { client: {}, custom: { topic, params, device, time, type }, env: {} },
      identity: undefined,
    };
    const { data } = happened;
    return lambda.length < 3 ? lambda(data, context) : withCallback(lambda, data, context);
  };
}

// --- the Functions Framework: (cloudEvent) or (cloudEvent, callback)

function cloudEventHandle(run: Foreign): Handle {
  return (event) => {
    const { specversion, id, source, type, subject, time, datacontenttype, data, topic, device } = event as Event;
    // Of its own properties, so that it can be spread, and with nothing that a CloudEvent's attribute cannot be.
    const cloudEvent = { specversion, id, source, type, subject, time, datacontenttype, data, topic, device };
    return run.length < 2 ? run(cloudEvent) : withCallback(run, cloudEvent);
  };
}

function registeredHandle(handler: string): Handle | undefined {
  const registered: unknown = (globalThis as Record<symbol, unknown>)[REGISTERED];
  if (!isArray(registered) || registered.length === 0) return undefined;
  const functions = registered as readonly Registered[];
  const chosen = choose(
    functions.map(({ name }) => name),
    handler,
  );
  const { kind, name, run } = functions[chosen] as Registered;
  if (kind === "http") {
    const what = `"${name}" is an HTTP function, and handlers run on events; register it with cloudEvent()`;
    throw new Refusal("HANDLER_SHAPE", what);
  }
  if (typeof run !== "function") throw new Refusal("HANDLER_SHAPE", `what is registered as "${name}" is no function`);
  return cloudEventHandle(run as Foreign);
}

function exportedHandle(exported: Readonly<Record<string, unknown>>, handler: string): Handle | undefined {
  const names = keys(exported).filter((name) => typeof exported[name] === "function" && !NO_FUNCTIONS.includes(name));
  if (names.length === 0) return undefined;
  const name = names[choose(names, handler)] as string;
  const run = exported[name] as Foreign;
  if (run.length >= 3) {
    const what = `"${name}" takes (data, context, callback) as a background function does: take a CloudEvent instead`;
    throw new Refusal("HANDLER_SHAPE", what);
  }
  return cloudEventHandle(run);
}

/** The index of the only one, or of the one that is called as the handler is. */
function choose(names: readonly string[], handler: string): number {
  if (names.length === 1) return 0;
  const called = names.findIndex((name) => name === handler);
  if (called >= 0) return called;
  const which = names.slice(0, 10).join(", ");
  throw new Refusal("HANDLER_SHAPE", `of the functions ${which} none is called as the handler is: ${handler}`);
}

// --- both

/** The promise of what the function returns, when that is one, or of what it calls back with, whichever comes first. */
function withCallback(run: Foreign, ...args: readonly unknown[]): Promise<unknown> {
  return later((resolve, reject) => {
    const result = run(...args, (error: unknown, value: unknown) => {
      if (error === undefined || error === null) resolve(value);
      else reject(typeof error === "string" ? new Error(error) : error);
    });
    const isPromise = typeof (result as { then?: unknown } | undefined)?.then === "function";
    if (isPromise) resolve(result);
  });
}

/** What `process.env` is in a bundle: the handler's params, each as text. */
export function environmentOf(params: unknown): Readonly<Record<string, string>> {
  const environment: Record<string, string> = {};
  for (const name of keys(params ?? {})) {
    const value = (params as Record<string, unknown>)[name];
    environment[name] = typeof value === "string" ? value : jsonStringify(value);
  }
  return environment;
}
