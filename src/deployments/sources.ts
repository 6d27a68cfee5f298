/** Which handlers the folder holds: `name.ts`, `name.js`, `name.mjs`, or a folder `name` with an index file. */
import type { Dirent } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { dirname, join, sep } from "node:path";
import { Fault, messageOf } from "../fault.ts";

export interface HandlerSource {
  readonly name: string;
  /** Absolute path of the file that the module begins with. */
  readonly entry: string;
}

export interface Sources {
  readonly handlers: readonly HandlerSource[];
  /** What lies in the folder and cannot be a handler, by what its name would be. */
  readonly faults: ReadonlyMap<string, Fault>;
}

const EXTENSION = /\.(?:ts|js|mjs)$/;
const NOT_A_HANDLER = /(?:\.test\.|\.cases\.|\.d\.ts$)/;
const INDEXES = ["index.ts", "index.js", "index.mjs"] as const;
const NAME = /^[a-z0-9][a-z0-9_-]{0,62}$/;
/** Each handler costs memory in every runner. */
export const HANDLERS_MAX = 1000;

export function isHandlerName(name: string): boolean {
  return NAME.test(name);
}

/** What may be read as source. Larger ones could not become a bundle, and would be in memory before that is known. */
export const SOURCE_BYTES_MAX = 8 * 1024 * 1024;

/**
 * Why the file at `path` must not be opened, links followed: reading a pipe or a device may never end. Undefined when
 * it may be; what is not there is left to whoever opens it.
 */
export async function refusalOf(
  path: string,
): Promise<{ code: "DEPLOY_NOT_A_FILE" | "DEPLOY_TOO_LARGE"; message: string } | undefined> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) return undefined;
  if (!found.isFile()) return { code: "DEPLOY_NOT_A_FILE", message: "it is no regular file" };
  if (found.size <= SOURCE_BYTES_MAX) return undefined;
  return { code: "DEPLOY_TOO_LARGE", message: `it is larger than ${SOURCE_BYTES_MAX} bytes` };
}

/** Throws Fault DEPLOY_DIR_UNREADABLE. What is no regular file is found all the same; building it is refused (D1). */
export async function findSources(dir: string): Promise<Sources> {
  const found = new Map<string, HandlerSource>();
  const faults = new Map<string, Fault>();
  const shown = await read(dir);
  for (const { file, folder } of shown) {
    const entry = folder ? await indexOf(join(dir, file)) : EXTENSION.test(file) ? join(dir, file) : undefined;
    if (entry === undefined) continue;
    const name = folder ? file : file.replace(EXTENSION, "");
    const other = found.get(name);
    if (!isHandlerName(name)) {
      faults.set(name, new Fault("DEPLOY_NAME_INVALID", `"${name}" cannot be a handler's name`, { where: entry }));
    } else if (other !== undefined) {
      found.delete(name);
      faults.set(
        name,
        new Fault("DEPLOY_NAME_TAKEN", `two sources of handler ${name}: ${other.entry} as well`, { where: entry }),
      );
    } else if (!faults.has(name)) {
      if (found.size < HANDLERS_MAX) found.set(name, { name, entry });
      else
        faults.set(
          name,
          new Fault("DEPLOY_TOO_MANY", `there are more than ${HANDLERS_MAX} handlers`, { where: entry }),
        );
    }
  }
  return { handlers: [...found.values()], faults };
}

async function read(dir: string): Promise<{ file: string; folder: boolean }[]> {
  try {
    const entries = await readdir(dir, { withFileTypes: true });
    const shown = entries.filter(
      ({ name }) => !name.startsWith(".") && name !== "node_modules" && !NOT_A_HANDLER.test(name),
    );
    const found = await Promise.all(
      shown.map(async (entry) => ({ file: entry.name, folder: await isFolder(dir, entry) })),
    );
    return found.toSorted((a, b) => (a.file < b.file ? -1 : 1));
  } catch (cause) {
    throw new Fault("DEPLOY_DIR_UNREADABLE", `the handlers' folder cannot be read: ${messageOf(cause)}`, {
      where: dir,
      cause,
    });
  }
}

async function isFolder(dir: string, entry: Dirent): Promise<boolean> {
  if (!entry.isSymbolicLink()) return entry.isDirectory();
  return stat(join(dir, entry.name)).then(
    (target) => target.isDirectory(),
    () => false,
  );
}

/** The file that a handler in a folder of its own begins with; undefined when there is none. */
export async function indexOf(folder: string): Promise<string | undefined> {
  const files: readonly string[] = await readdir(folder).catch((): string[] => []);
  const index = INDEXES.find((each) => files.includes(each));
  return index === undefined ? undefined : join(folder, index);
}

/** Every folder from which a handler takes something, installed packages aside. */
export function foldersOf(
  dir: string,
  handlers: Iterable<{ readonly looks: ReadonlyMap<string, string> }>,
): Set<string> {
  const folders = new Set([dir]);
  for (const { looks } of handlers) {
    for (const path of looks.keys()) if (!path.includes(`${sep}node_modules${sep}`)) folders.add(dirname(path));
  }
  return folders;
}
