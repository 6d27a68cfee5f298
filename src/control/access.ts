/**
 * Who may ask what (C2). Today there is one principal, the admin of `<data>/admin.token`; users and tokens with other
 * roles come in here, as further answers of {@link Access}.
 */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { chmod, mkdir, open, readFile, rename, stat } from "node:fs/promises";
import { join } from "node:path";
import { Fault, messageOf } from "../fault.ts";
import type { Log } from "../log.ts";

/** From least to most: each may do what those before it may. */
export const ROLES = ["viewer", "deployer", "admin"] as const;
export type Role = (typeof ROLES)[number];

export interface Principal {
  readonly name: string;
  readonly role: Role;
}

export interface Access {
  /** Who bears `token`, or undefined when nobody does. Takes the same time for every wrong token. */
  whoHas(token: string): Principal | undefined;
}

export function mayAct(principal: Principal, role: Role): boolean {
  return ROLES.indexOf(principal.role) >= ROLES.indexOf(role);
}

export const TOKEN_FILE = "admin.token";
const TOKEN_BYTES = 32;
const TOKEN = /^[A-Za-z0-9_-]{43}$/;

/** Reads the admin token of the data folder `data`, drawing one on the first start. Throws CONTROL_TOKEN. */
export async function openAccess(data: string, log: Log): Promise<Access> {
  const path = join(data, TOKEN_FILE);
  try {
    const digest = digestOf((await readToken(path, log)) ?? (await drawToken(data, path)));
    return {
      whoHas: (token) => (timingSafeEqual(digestOf(token), digest) ? { name: "admin", role: "admin" } : undefined),
    };
  } catch (thrown) {
    if (thrown instanceof Fault) throw thrown;
    throw new Fault("CONTROL_TOKEN", `the admin token cannot be kept: ${messageOf(thrown)}`, {
      where: path,
      cause: thrown,
    });
  }
}

async function readToken(path: string, log: Log): Promise<string | undefined> {
  let text: string;
  try {
    text = (await readFile(path, "utf8")).trim();
  } catch (thrown) {
    if (thrown instanceof Error && "code" in thrown && thrown.code === "ENOENT") return undefined;
    throw thrown;
  }
  if (!TOKEN.test(text)) throw new Fault("CONTROL_TOKEN", "the file holds no token", { where: path });
  if (process.platform !== "win32" && ((await stat(path)).mode & 0o077) !== 0) {
    await chmod(path, 0o600);
    log.warn({ path }, "others could read the admin token; its mode is 0600 again");
  }
  return text;
}

/** Written beside and renamed, so that a crash leaves either no token or a whole one. */
async function drawToken(data: string, path: string): Promise<string> {
  await mkdir(data, { recursive: true });
  const token = randomBytes(TOKEN_BYTES).toString("base64url");
  const file = await open(`${path}.new`, "w", 0o600);
  try {
    // The mode above only counts for a new file.
    await file.chmod(0o600);
    await file.writeFile(`${token}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(`${path}.new`, path);
  return token;
}

/** Digests have one length, whatever was sent. */
function digestOf(token: string): Buffer {
  return createHash("sha256").update(token).digest();
}
