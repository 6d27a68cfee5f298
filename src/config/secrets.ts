/**
 * The section `secrets`: where the value of each secret comes from. The config has the places only; the values are read
 * when they are needed, and stand in no config, no message and no log.
 */
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { isUtf8 } from "node:buffer";
import { z } from "zod";
import { Fault, messageOf } from "../fault.ts";
import { filePath, secretName } from "../quantity.ts";
import { child } from "./json-schema.ts";
import { settingName } from "./problem.ts";
import type { ConfigProblem } from "./problem.ts";
import type { Environment, Source } from "./source.ts";

/** What is shorter cannot be told from other text in a log, and could not be taken out of it. */
export const SECRET_CHARS_MIN = 4;
/** A key of 4096 bits in PEM takes 3 KB. */
export const SECRET_BYTES_MAX = 16 * 1024;
const SECRETS_MAX = 1000;

const place = z
  .strictObject({
    env: z
      .string()
      .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, { error: "write the name of a variable, such as API_KEY" })
      .optional()
      .meta({ description: "The variable of the gateway's environment that has the value." }),
    file: filePath.optional().meta({
      description: "The file that has the value, without the newline at its end; of 16KB at the most.",
    }),
  })
  .refine(({ env, file }) => (env === undefined) !== (file === undefined), {
    error: "has either `env` or `file`",
  });

export const secretsSettings = z
  .record(secretName, place)
  .refine((secrets) => Object.keys(secrets).length <= SECRETS_MAX, { error: `has more than ${SECRETS_MAX} secrets` })
  .default({})
  .meta({
    description: "Values that handlers may be granted by name and nobody else is shown: where each comes from.",
  });

/** What to write to give the secret `name` to the gateway. */
export function exampleOf(name: string): string {
  const variable = name.replaceAll(/([a-z0-9])([A-Z])/g, "$1_$2").toUpperCase();
  return `secrets: { ${name}: { env: ${variable.replaceAll(/[^A-Z0-9_]/g, "_")} } }`;
}

export type SecretPlaces = Readonly<
  Record<string, { readonly env?: string | undefined; readonly file?: string | undefined }>
>;

/** Values by name. Throws Fault CONFIG_SECRET for the first that cannot be had. */
export function readSecrets(places: SecretPlaces, env: Environment): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  for (const [name, from] of Object.entries(places)) {
    const read = readSecret(from, env);
    if ("flaw" in read)
      throw new Fault("CONFIG_SECRET", `the secret ${name} ${read.flaw}`, { where: `secrets.${name}` });
    values.set(name, read.value);
  }
  return values;
}

/** For those who will use them: secrets whose value cannot be had. `data` has absolute paths. */
export function findMissingSecrets(data: unknown, source: Source, env: Environment): ConfigProblem[] {
  const secrets = child(data, "secrets");
  if (typeof secrets !== "object" || secrets === null) return [];
  return Object.entries(secrets).flatMap(([name, from]: [string, unknown]): ConfigProblem[] => {
    const parsed = place.safeParse(from);
    if (!parsed.success) return []; // It has been reported.
    const key = parsed.data.env === undefined ? "file" : "env";
    const path = ["secrets", name, key];
    const read = readSecret(parsed.data, env);
    if (!("flaw" in read) || source.isBroken(path)) return [];
    // What the system says quotes the path, which may have come from the environment (F2).
    const { file = "" } = parsed.data;
    const flaw = file !== "" && source.fromEnvironment(path) ? read.flaw.replaceAll(file, "…") : read.flaw;
    return [{ code: "CONFIG_SECRET", path, message: `\`${settingName(path)}\` ${flaw}`, ...source.place(path) }];
  });
}

type Read = { readonly value: string } | { readonly flaw: string };

function readSecret({ env: variable, file }: SecretPlaces[string], env: Environment): Read {
  if (file !== undefined) return readSecretFile(file);
  const value = env[variable ?? ""];
  if (value === undefined) return { flaw: `names ${variable ?? ""}, which the environment does not have` };
  return checked(value);
}

/** Bounded, and never from something that may have no end. */
function readSecretFile(file: string): Read {
  let descriptor: number | undefined;
  try {
    // Not blocking: a pipe that nobody writes to is opened as well, and then refused.
    descriptor = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK);
    if (!fstatSync(descriptor).isFile()) return { flaw: "names something that is no file" };
    const bytes = Buffer.alloc(SECRET_BYTES_MAX + 3);
    let length = 0;
    for (let read = -1; read !== 0 && length < bytes.length; length += read) {
      read = readSync(descriptor, bytes, length, bytes.length - length, null);
    }
    const content = bytes.subarray(0, length);
    if (!isUtf8(content)) return { flaw: "names a file that is not text in UTF-8" };
    return checked(content.utf8Slice().replace(/\r?\n$/, ""));
  } catch (thrown) {
    return { flaw: `names a file that cannot be read: ${messageOf(thrown)}` };
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

function checked(value: string): Read {
  if (value.length < SECRET_CHARS_MIN) return { flaw: `is shorter than ${SECRET_CHARS_MIN} characters` };
  if (Buffer.byteLength(value) > SECRET_BYTES_MAX) return { flaw: `is longer than ${SECRET_BYTES_MAX} bytes` };
  return { value };
}
