/** What a person may do about a name that the gateway does not know: the API's own advice is for programs. */
import { nearest } from "../config/similar.ts";
import { Fault } from "../fault.ts";

const SHOWN_MAX = 20;

/** `path` of the request; `handlersOf` asks for the names of the handlers that there are. */
export async function advised(
  fault: Fault,
  path: string,
  handlersOf: () => Promise<readonly string[]>,
): Promise<Fault> {
  if (fault.code !== "CONTROL_NOT_FOUND") return fault;
  const remedy = await remedyOf(path, handlersOf);
  return remedy === undefined ? fault : new Fault(fault.code, fault.message, { remedy });
}

async function remedyOf(path: string, handlersOf: () => Promise<readonly string[]>): Promise<string | undefined> {
  if (path.startsWith("/api/v1/dead")) return "`sluice dead ls` lists them, with their ids.";
  const [, encoded, what] = /^\/api\/v1\/handlers\/([^/?]+)\/?(\w*)/.exec(path) ?? [];
  if (encoded === undefined) return undefined;
  const name = decodeURIComponent(encoded);
  const names = await handlersOf().catch(() => undefined);
  if (names === undefined) return undefined;
  if (!names.includes(name)) return meant(name, names);
  if (what === "replays") return `\`sluice replay ${name} --list\` lists those that are known.`;
  return what?.startsWith("state") === true ? `\`sluice state ls ${name}\` lists its keys.` : undefined;
}

/** Which of them `name` may have been meant to be. */
export function meant(name: string, names: readonly string[]): string {
  const near = nearest(name, names);
  if (near !== undefined) return `Did you mean \`${near}\`?`;
  if (names.length === 0) return "There are no handlers yet.";
  const rest = names.length > SHOWN_MAX ? " and more; `sluice handlers` lists them" : "";
  return `There are: ${names.slice(0, SHOWN_MAX).join(", ")}${rest}.`;
}
