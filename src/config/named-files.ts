/**
 * Files and folders that a config names: those that are to be read, and those that must not be folders. Looked at for those who will use them: a
 * client of the gateway reads the same config, often as somebody who may not read its keys.
 */
import { accessSync, constants, statSync } from "node:fs";
import { messageOf } from "../fault.ts";
import type { FaultCode } from "../fault.ts";
import { child } from "./json-schema.ts";
import { settingName } from "./problem.ts";
import type { ConfigProblem } from "./problem.ts";
import type { Path, Source } from "./source.ts";

const TLS_FILES = ["ca", "cert", "key"];

/** `data` has absolute paths. */
export function findUnusableFiles(data: unknown, source: Source): ConfigProblem[] {
  const uplinks = child(data, "uplinks") ?? {};
  const folders = problemAt(["handlers", "dir"], namedFolder(data, source), noFolder, source, "DEPLOY_DIR_UNREADABLE");
  const files = Object.entries(uplinks).flatMap(([name, uplink]: [string, unknown]) => {
    const below = (...path: string[]): Path => ["uplinks", name, ...path];
    const tls = TLS_FILES.map((file) =>
      problemAt(below("tls", file), child(child(uplink, "tls"), file), unreadable, source),
    );
    const output =
      child(uplink, "kind") === "file"
        ? problemAt(below("path"), child(uplink, "path"), unwritable, source)
        : undefined;
    return [...tls, output];
  });
  return [folders, ...files].filter((problem) => problem !== undefined);
}

/** Where handlers lie, if the file says so: where it does not, none may be wanted. */
function namedFolder(data: unknown, source: Source): unknown {
  const isNamed = typeof child(child(source.data, "handlers"), "dir") === "string";
  return isNamed ? child(child(data, "handlers"), "dir") : undefined;
}

function problemAt(
  path: Path,
  file: unknown,
  flawOf: (file: string) => string | undefined,
  source: Source,
  code: FaultCode = "UPLINK_SETTINGS",
): ConfigProblem | undefined {
  if (typeof file !== "string" || file === "" || source.isBroken(path)) return undefined;
  const flaw = flawOf(file);
  if (flaw === undefined) return undefined;
  // What the system says quotes the path, which may have come from the environment (F2).
  const why = source.fromEnvironment(path) ? flaw.replaceAll(file, "…") : flaw;
  return { code, path, message: `\`${settingName(path)}\` ${why}`, ...source.place(path) };
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

function noFolder(folder: string): string | undefined {
  try {
    if (!statSync(folder).isDirectory()) return "names something that is no folder";
    accessSync(folder, constants.R_OK | constants.X_OK);
    return undefined;
  } catch (thrown) {
    return `names a folder that cannot be read: ${messageOf(thrown)}`;
  }
}

/** The file itself may not be there yet, nor the folder that it lies in. */
function unwritable(file: string): string | undefined {
  return statSync(file, { throwIfNoEntry: false })?.isDirectory() === true ? "names a folder, not a file" : undefined;
}
