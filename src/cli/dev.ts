/** `sluice dev`: run, made for writing handlers. */
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { Command } from "commander";
import type { Config } from "../config.ts";
import type { Shown } from "../gateway.ts";
import { DevOutcomes } from "./dev-outcomes.ts";
import { wholeNumber } from "./device.ts";
import { runGateway } from "./run.ts";
import type { Addresses } from "./run.ts";
import { say } from "./terminal.ts";

interface DevOptions {
  readonly config?: string;
  readonly sim?: number | true;
  readonly simTopic?: string;
}

const PROGRAM = fileURLToPath(new URL("../../bin/sluice.js", import.meta.url));
const DEVICES = 5;
/** Messages a second of all devices: a log of them can still be read. */
const RATE = 5;

export function devCommand(done: (code: number) => void): Command {
  return new Command("dev")
    .description(
      "Runs the gateway with a readable log that has what handlers send and fail at, and takes on each handler as soon as it is saved, whatever handlers.watch says.",
    )
    .option("--config <file>", "its config; default: SLUICE_CONFIG, config/sluice.yaml or sluice.yaml")
    .option("--sim [devices]", `with simulated devices, ${DEVICES} by default, that publish`, wholeNumber(1, 10_000))
    .option("--sim-topic <template>", "where they publish; default: as `sluice simulate`")
    .addHelpText(
      "after",
      `
Examples:
  sluice dev
  sluice dev --sim
  sluice dev & sluice simulate --devices 5 --rate 20`,
    )
    .action(async (options: DevOptions) => {
      const change = (config: Config): Config => ({
        ...config,
        // Who writes a handler wants to see what it does, not what the version before did.
        handlers: {
          ...config.handlers,
          watch: true,
          defaults: { ...config.handlers.defaults, probation: false },
        },
      });
      const ready = (addresses: Addresses): (() => void) => simulate(addresses, options);
      const outcomes = new DevOutcomes();
      const show = (shown: Shown): void => outcomes.show(shown);
      const sim = options.sim === undefined ? {} : { ready };
      done(await runGateway(options.config, { pretty: true, change, show, ...sim }));
    });
}

/** Devices in a process of their own, as real ones are elsewhere. Returns what ends it. */
function simulate({ broker }: Addresses, { sim, simTopic }: DevOptions): () => void {
  const url = broker.map((each) => URL.parse(each)).find((each) => each?.protocol === "mqtt:");
  if (url === undefined || url === null) {
    say("--sim: there is no listener for mqtt:// that devices could connect to");
    return () => undefined;
  }
  const devices = sim === true ? DEVICES : (sim ?? DEVICES);
  const topic = simTopic === undefined ? [] : ["--topic", simTopic];
  const where = ["--host", url.hostname.replace(/^\[(.*)\]$/, "$1"), "--port", url.port];
  const args = [PROGRAM, "simulate", "--devices", `${devices}`, "--rate", `${RATE}`, ...topic, ...where];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "ignore", "pipe"], detached: true });
  let said = "";
  child.stderr.on("data", (chunk: Buffer) => (said = `${said}${chunk.toString()}`.slice(-2000)));
  let isOver = false;
  child.on("exit", (code) => {
    if (!isOver) say(`the simulated devices ended with ${code}: ${said.trim()}`);
  });
  say(`${devices} simulated devices publish to ${url.href}`);
  return () => {
    isOver = true;
    child.kill();
  };
}
