/** Rig: the toy gateway as a process, and how many of the promised messages its file holds. */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Fleet, Reading } from "../../stories/rig/fleet.ts";

const TOY = fileURLToPath(new URL("../../doubles/toy-gateway.ts", import.meta.url));

export type ToyMode = "ack-first" | "ack-written" | "ack-synced";

export class Toy {
  readonly #child: ChildProcess;

  constructor(port: number, file: string, mode: ToyMode, wrapper: readonly string[] = []) {
    const command = [...wrapper, process.execPath, TOY, String(port), file, mode];
    this.#child = spawn(command[0] as string, command.slice(1), { stdio: ["ignore", "ignore", "inherit"] });
  }

  async kill9(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill9();
  }
}

/** How many of the promised messages are not in a toy's file. Torn and lost lines alike. */
export function lostInFile(promises: ReturnType<Fleet["promises"]>, file: string): number {
  const held = new Set<string>();
  for (const line of readFileSync(file, "utf8").split("\n")) {
    try {
      const { device, n } = JSON.parse(line) as Reading;
      held.add(`${device}:${n}`);
    } catch {
      // A torn line holds nothing.
    }
  }
  let lost = 0;
  for (const [device, numbers] of promises) for (const n of numbers) if (!held.has(`${device}:${n}`)) lost += 1;
  return lost;
}
