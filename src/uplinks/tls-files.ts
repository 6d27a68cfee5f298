/** TLS settings that kinds share. Files are read anew for each connection, so that renewed certificates need no restart. */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import type { ConnectionOptions } from "node:tls";
import { z } from "zod";
import { Fault, messageOf } from "../fault.ts";

const file = (what: string): z.ZodOptional<z.ZodString> =>
  z
    .string()
    .min(1)
    .optional()
    .meta({ format: "path", description: `PEM file with ${what}.` });

export const tlsSettings = z
  .strictObject({
    ca: file("the certificates that the other side's must be signed by; default: those that Node knows"),
    cert: file("our certificate, for servers that ask for one"),
    key: file("its private key"),
    servername: z
      .string()
      .min(1)
      .optional()
      .meta({ description: "The name that the server's certificate must have, if not the URL's host." }),
    rejectUnauthorized: z
      .boolean()
      .default(true)
      .meta({ description: "false takes any certificate, and thereby any impostor. For trying things out only." }),
  })
  .meta({ description: "TLS options." });

export type TlsSettings = z.output<typeof tlsSettings>;

/** Throws {@link Fault} UPLINK_SETTINGS when a file cannot be read. */
export function tlsOptions(settings: TlsSettings | undefined, folder: string): ConnectionOptions {
  if (settings === undefined) return {};
  const { ca, cert, key, servername, rejectUnauthorized } = settings;
  return {
    ...(ca === undefined ? {} : { ca: read(ca, folder) }),
    ...(cert === undefined ? {} : { cert: read(cert, folder) }),
    ...(key === undefined ? {} : { key: read(key, folder) }),
    ...(servername === undefined ? {} : { servername }),
    rejectUnauthorized,
  };
}

function read(path: string, folder: string): Buffer {
  const absolute = resolve(folder, path);
  try {
    return readFileSync(absolute);
  } catch (thrown) {
    throw new Fault("UPLINK_SETTINGS", messageOf(thrown), { where: absolute, cause: thrown });
  }
}
