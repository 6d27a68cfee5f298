/**
 * Files that a config names and that are to be read, or must not be folders. Looked at for those who will use them: a
 * client of the gateway reads the same config, often as somebody who may not read its keys.
 */
import { accessSync, constants, statSync } from "node:fs";
import { messageOf } from "../fault.ts";
import { child } from "./json-schema.ts";
import { settingName } from "./problem.ts";
import type { ConfigProblem } from "./problem.ts";
import type { Path, Source } from "./source.ts";

const TLS_FILES = ["ca", "cert", "key"];

/** `data` has absolute paths. */
export function findUnusableFiles(data: unknown, source: Source): ConfigProblem[] {
  const uplinks = child(data, "uplinks");
  if (typeof uplinks !== "object" || uplinks === null) return [];
  return Object.entries(uplinks).flatMap(([name, uplink]: [string, unknown]) => {
    const below = (...path: string[]): Path => ["uplinks", name, ...path];
    const tls = TLS_FILES.map((file) =>
      problemAt(below("tls", file), child(child(uplink, "tls"), file), unreadable, source),
    );
    const output =
      child(uplink, "kind") === "file"
        ? problemAt(below("path"), child(uplink, "path"), unwritable, source)
        : undefined;
    return [...tls, output].filter((problem) => problem !== undefined);
  });
}

function problemAt(
  path: Path,
  file: unknown,
  flawOf: (file: string) => string | undefined,
  source: Source,
): ConfigProblem | undefined {
  if (typeof file !== "string" || file === "" || source.isBroken(path)) return undefined;
  const flaw = flawOf(file);
  if (flaw === undefined) return undefined;
  // What the system says quotes the path, which may have come from the environment (F2).
  const why = source.fromEnvironment(path) ? flaw.replaceAll(file, "…") : flaw;
  return { code: "UPLINK_SETTINGS", path, message: `\`${settingName(path)}\` ${why}`, ...source.place(path) };
}

function unreadable(file: string): string | undefined {
  try {
    if (!statSync(file).isFile()) return "names something that is no file";
    accessSync(file, constants.R_OK);
    return undefined;
  } catch (thrown) {
    return `names a file that cannot be read: ${messageOf(thrown)}`;
  }
}

/** The file itself may not be there yet, nor the folder that it lies in. */
function unwritable(file: string): string | undefined {
  return statSync(file, { throwIfNoEntry: false })?.isDirectory() === true ? "names a folder, not a file" : undefined;
}
