/** `sluice health`: an exit status for probes. */
import { Command } from "commander";
import { Fault } from "../fault.ts";
import { EXIT } from "./exit.ts";
import { findGateway } from "./running.ts";
import { printJson, say } from "./terminal.ts";

export function healthCommand(done: (code: number) => void): Command {
  return new Command("health")
    .description(
      "Asks the running gateway whether it accepts events. Made for Docker's HEALTHCHECK: exit status 0 or 1, no token.",
    )
    .option("--config <file>", "the gateway's config")
    .option("--live", "ask only whether the process answers")
    .option("--json", "print the answer")
    .addHelpText(
      "after",
      `
Examples:
  sluice health && echo ready
  HEALTHCHECK CMD ["sluice", "health"]`,
    )
    .action(async (options: { config?: string; live?: boolean; json?: boolean }) => {
      const { status, body } = await probe(options.config, options.live === true ? "/livez" : "/readyz");
      if (options.json === true) printJson(body);
      else for (const reason of reasonsOf(body)) say(reason);
      done(status === 200 ? EXIT.ok : EXIT.failed);
    });
}

/** Docker knows 0 and 1 only: a gateway that is away is unhealthy, not "unreachable". */
async function probe(config: string | undefined, path: string): Promise<{ status: number; body: unknown }> {
  try {
    const gateway = await findGateway(config, process.env);
    return await gateway.probe(path);
  } catch (thrown) {
    if (!(thrown instanceof Fault)) throw thrown;
    return { status: 0, body: { ready: false, reasons: [thrown.explain()] } };
  }
}

function reasonsOf(body: unknown): readonly string[] {
  const reasons = typeof body === "object" && body !== null && "reasons" in body ? body.reasons : [];
  return Array.isArray(reasons) ? reasons.map(String) : [];
}
