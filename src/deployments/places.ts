/**
 * Where in a handler's source a setting of its exported `config` stands: file:line:column. Found by looking at the text, for
 * nobody but the engine reads it as code: what is written in an unusual way is shown by the export, or by the file alone.
 */
import { Fault } from "../fault.ts";
import type { FaultCode } from "../fault.ts";
import type { LiveHandler } from "./handler.ts";
import type { HandlersSettings } from "./settings.ts";

/** From the start of a line: `export const config =`, `exports.config =`, `const config =`. */
const EXPORT = /^[ \t]*(?:(?:export[ \t]+)?(?:const|let|var)[ \t]+|(?:module\.)?exports\.)config\b/m;
/**
 * Quoted texts and comments, in which brackets are no brackets; and brackets. What does not end goes on to the end of the
 * text: were it no match, it would be looked for anew at each place that looks like a beginning, which may be a million.
 */
const TOKEN =
  /"(?:\\.|[^"\\])*(?:"|$)|'(?:\\.|[^'\\])*(?:'|$)|`(?:\\.|[^`\\])*(?:`|$)|\/\/.*|\/\*(?:[^]*?\*\/|[^]*$)|[{}[\]()]/g;
/** Longer ones are not looked through, nor are longer maps taken apart: the file alone says where. */
const TEXT_CHARS_MAX = 1024 * 1024;
const MAP_CHARS_MAX = 8 * 1024 * 1024;

export interface SourceText {
  /** As it is shown to people, and as the source map names it. */
  readonly file: string;
  readonly sourceMap?: string | undefined;
}

/** The setting at `path` of the exported config. What is not found there is where the config begins, or the file. */
export function configPlace({ file, sourceMap = "" }: SourceText, path: readonly PropertyKey[]): string {
  const text = textOf(file, sourceMap);
  const found = EXPORT.exec(text);
  if (found === null) return file;
  let at = found.index + found[0].length - "config".length;
  const end = endOf(text, at);
  for (const part of path) {
    if (typeof part !== "string") break;
    // A name that the config shares with nothing else in it but what is nested: the first is the one, most often.
    const name = part.replaceAll(/[^\w$]/g, "\\$&");
    const key = new RegExp(`(?<=[{,\\s])["']?${name}["']?\\s*:`, "g");
    key.lastIndex = at;
    const next = key.exec(text);
    if (next === null || next.index >= end) break;
    at = next.index;
  }
  const before = text.slice(0, at).split("\n");
  return `${file}:${before.length}:${(before.at(-1)?.length ?? 0) + 1}`;
}

/** Which setting is at fault where the code alone says so. */
const AT_FAULT: Partial<Record<FaultCode, "key" | "to" | "secrets" | "schedule" | "on" | "webhook">> = {
  TRIGGER_KEY_INVALID: "key",
  TRIGGER_SCHEDULE_INVALID: "schedule",
  TRIGGER_ON_UNKNOWN: "on",
  TRIGGER_WEBHOOK_TAKEN: "webhook",
  OUTPUT_UPLINK_UNKNOWN: "to",
  DEPLOY_SECRET_UNKNOWN: "secrets",
};

/** The same fault with the place of the setting that it is about: in the source, or in the gateway's config. */
export function placed(
  fault: Fault,
  name: string,
  source: SourceText,
  gateway: Pick<HandlersSettings, "settings">,
): Fault {
  const setting = AT_FAULT[fault.code];
  if (setting === undefined || (fault.where !== undefined && fault.where !== source.file)) return fault;
  const own = Object.hasOwn(gateway.settings, name) ? gateway.settings[name] : undefined;
  const where =
    own?.[setting] === undefined
      ? configPlace(source, [setting])
      : `handlers.settings.${name}.${setting} (${source.file})`;
  return new Fault(fault.code, fault.message, { where, remedy: fault.remedy, cause: fault.cause });
}

/** `live` with the place of the setting in the faults that it rejects with. */
export function placing(
  live: (handler: LiveHandler) => Promise<void>,
  gateway: () => HandlersSettings,
): (handler: LiveHandler) => Promise<void> {
  return async (handler) => {
    try {
      await live(handler);
    } catch (thrown) {
      throw thrown instanceof Fault ? placed(thrown, handler.name, handler, gateway()) : thrown;
    }
  };
}

function textOf(file: string, sourceMap: string): string {
  if (sourceMap.length > MAP_CHARS_MAX) return "";
  try {
    const map = JSON.parse(sourceMap) as { sources?: string[]; sourcesContent?: string[] };
    const text: unknown = map.sourcesContent?.[map.sources?.indexOf(file) ?? -1];
    return typeof text === "string" && text.length <= TEXT_CHARS_MAX ? text : "";
  } catch {
    return ""; // A version of before, or one that was damaged.
  }
}

/** Where the brackets that open behind `from` are closed. */
function endOf(text: string, from: number): number {
  let depth = 0;
  const token = new RegExp(TOKEN);
  token.lastIndex = from;
  for (let found = token.exec(text); found !== null; found = token.exec(text)) {
    if ("{[(".includes(found[0])) depth++;
    else if ("}])".includes(found[0]) && --depth <= 0) return found.index;
  }
  return text.length;
}
