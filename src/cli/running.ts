/** The running gateway, as commands reach it: its control API, found through the config or SLUICE_URL and SLUICE_TOKEN. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { HandlersAnswer } from "../control/handler-shapes.ts";
import { Fault, FAULTS, messageOf } from "../fault.ts";
import type { FaultCode } from "../fault.ts";
import { advised } from "./not-found.ts";

const TIMEOUT_MS = 30_000;

export interface Running {
  readonly url: string;
  /** JSON of a 2xx answer. Throws the fault that the gateway named, CLI_UNREACHABLE when it does not answer. */
  ask<T>(method: "GET" | "POST" | "DELETE", path: string, body?: unknown): Promise<T>;
  /** The bytes of a 2xx answer that goes on until `signal` ends it. Throws as `ask` does. */
  follow(path: string, signal: AbortSignal): Promise<ReadableStream<Uint8Array>>;
  /** The same without a token and whatever the status: for the health paths. */
  probe(path: string): Promise<{ readonly status: number; readonly body: unknown }>;
}

/** Reads the config only when the environment does not say where the gateway is. */
export async function findGateway(configPath: string | undefined, env: NodeJS.ProcessEnv): Promise<Running> {
  let url = env["SLUICE_URL"];
  let token = env["SLUICE_TOKEN"];
  let tokenFile: string | undefined;
  if (url === undefined || url === "") {
    // Loaded only now: with SLUICE_URL nothing of it is needed.
    const { loadConfig } = await import("../config.ts");
    const config = await loadConfig(configPath, env);
    url = config.control.url;
    tokenFile = join(config.gateway.data, "admin.token");
  }
  if (!URL.canParse(url)) throw new Fault("CLI_USAGE", "SLUICE_URL is no url", { where: url });
  const base = new URL(url).origin;

  const send = async (
    method: string,
    path: string,
    body: unknown,
    bearer: string | undefined,
    signal = AbortSignal.timeout(TIMEOUT_MS),
  ): Promise<Response> => {
    try {
      return await fetch(base + path, {
        method,
        // Whatever redirects is not Sluice, and must not get the token.
        redirect: "error",
        headers: {
          ...(bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }),
          ...(body === undefined ? {} : { "content-type": "application/json" }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        signal,
      });
    } catch (thrown) {
      const cause = thrown instanceof Error && thrown.cause instanceof Error ? thrown.cause : thrown;
      throw new Fault("CLI_UNREACHABLE", `the gateway does not answer: ${messageOf(cause)}`, {
        where: base,
        cause: thrown,
      });
    }
  };

  const gateway: Running = {
    url: base,
    async probe(path) {
      const response = await send("GET", path, undefined, undefined);
      return { status: response.status, body: await bodyOf(response) };
    },
    async follow(path, signal) {
      if (token === undefined || token === "") token = await readToken(tokenFile);
      const response = await send("GET", path, undefined, token, signal);
      if (response.ok && response.body !== null) return response.body;
      throw faultOf(await bodyOf(response), response.status, base + path);
    },
    async ask<T>(method: "GET" | "POST" | "DELETE", path: string, body?: unknown): Promise<T> {
      if (token === undefined || token === "") token = await readToken(tokenFile);
      const response = await send(method, path, body, token);
      const answer = await bodyOf(response);
      if (response.ok) return answer as T;
      const fault = faultOf(answer, response.status, base + path);
      throw await advised(fault, path, () => handlersOf(gateway));
    },
  };
  return gateway;
}

/** Names of the handlers that the gateway has, and of its routes where these are meant too. */
export async function handlersOf(gateway: Pick<Running, "ask">, withRoutes = false): Promise<readonly string[]> {
  const { handlers } = await gateway.ask<HandlersAnswer>("GET", "/api/v1/handlers");
  return handlers.filter(({ route }) => withRoutes || !route).map(({ name }) => name);
}

/** Undefined when there is none: the gateway then says that it wants one. */
async function readToken(file: string | undefined): Promise<string | undefined> {
  if (file === undefined) return undefined;
  try {
    return (await readFile(file, "utf8")).trim();
  } catch (thrown) {
    const code = thrown instanceof Error && "code" in thrown ? thrown.code : undefined;
    if (code === "ENOENT")
      throw new Fault("CLI_UNREACHABLE", "there is no admin token: the gateway of this config has never run", {
        where: file,
      });
    throw new Fault("CONTROL_DENIED", `the admin token cannot be read: ${messageOf(thrown)}`, {
      where: file,
      remedy: "Run the command as the user that the gateway runs as, or pass SLUICE_TOKEN.",
    });
  }
}

async function bodyOf(response: Response): Promise<unknown> {
  const text = await response.text();
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function faultOf(answer: unknown, status: number, where: string): Fault {
  const problem = (typeof answer === "object" && answer !== null ? answer : {}) as Record<string, unknown>;
  const { code, detail, remedy } = problem;
  if (typeof code !== "string" || !Object.hasOwn(FAULTS, code)) {
    return new Fault("CLI_UNREACHABLE", `the answer ${status} is not one of Sluice`, { where });
  }
  const message = typeof detail === "string" ? detail : `it answered ${status}`;
  return new Fault(code as FaultCode, message, typeof remedy === "string" ? { remedy } : {});
}
