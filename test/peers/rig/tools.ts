/**
 * Rig: the machine's own tools. A tool that is missing fails the test with what to install; nothing is ever skipped.
 */
import { execFileSync } from "node:child_process";

const PACKAGES: Record<string, string> = {
  strace: "strace",
  "mkfs.ext4": "e2fsprogs",
  "mkfs.xfs": "xfsprogs",
  mosquitto: "mosquitto",
  mount: "mount",
};

export function needTools(...names: readonly string[]): void {
  const path = `${process.env.PATH}:/usr/sbin:/sbin`;
  process.env.PATH = path;
  for (const name of names) {
    try {
      execFileSync("/bin/sh", ["-c", `command -v ${name}`], { env: { PATH: path } });
    } catch {
      throw new Error(`${name} is missing: apt-get install ${PACKAGES[name] ?? name}`);
    }
  }
  if (names.includes("mount") && process.getuid?.() !== 0) throw new Error("mounting needs root");
}

export function run(command: string, ...args: readonly string[]): string {
  return execFileSync(command, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}
