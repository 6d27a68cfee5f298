/** Rig: Debian's mosquitto, without persistence, as the broker upstream. */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "../../stories/rig/wait.ts";
import { needTools } from "./tools.ts";

export class Mosquitto {
  readonly port: number;
  readonly #folder: string;
  #child: ChildProcess | undefined;

  /** `listener`: further lines of its config, after the listener; default: whoever comes may come in. */
  constructor(port: number, listener: readonly string[] = ["allow_anonymous true"]) {
    needTools("mosquitto");
    this.port = port;
    this.#folder = mkdtempSync(join(tmpdir(), "sluice-mosquitto-"));
    const settings = [`listener ${port} 127.0.0.1`, ...listener, "max_queued_messages 0", "user root"];
    writeFileSync(join(this.#folder, "mosquitto.conf"), settings.join("\n"));
  }

  async start(): Promise<void> {
    this.#child = spawn("mosquitto", ["-c", join(this.#folder, "mosquitto.conf")], { stdio: "ignore" });
    await until("mosquitto", () => accepts(this.port), { withinMs: 5_000 });
  }

  async stop(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    child.kill(signal);
    await exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop("SIGKILL");
    rmSync(this.#folder, { recursive: true });
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
