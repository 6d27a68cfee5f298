/** How long a new version takes until it is live: from a save, from the API, from the command line. */
import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import type { Readings } from "./figures.ts";
import { openClient, publishPacket, subscribe } from "./mqtt.ts";
import { Mosquitto } from "./mosquitto.ts";
import { median, round } from "./numbers.ts";
import { pause, temporaryFolder, until } from "./processes.ts";
import { Sluice } from "./sluice.ts";

const MAIN = resolve(import.meta.dirname, "../bin/sluice.js");
const TIMES = 9;
const PROBE_EVERY_MS = 2;
const PACKET_IDS = 65_535;
const BETWEEN_MS = 1_000;

const run = promisify(execFile);

const source = (version: number): string => `
export const config = { topic: "probe", to: ["cloud"], probation: false };
export default () => ({ version: ${version} });
`;

export async function deploys(): Promise<Readings> {
  await using folder = await temporaryFolder();
  const upstream = await Mosquitto.open(folder.path);
  const handlers = { probe: source(0) };
  const sluice = await Sluice.open({ folder: folder.path, upstreamPort: upstream.port, handlers, watch: true });
  /** Highest version of which an output is upstream. */
  let live = -1;
  const stop = await subscribe(upstream.port, "bench/#", (_, payload) => {
    const { version } = (JSON.parse(payload.toString("utf8")) as { data: { version: number } }).data;
    live = Math.max(live, version);
  });
  const device = await openClient(sluice.port, "bench-probe");
  let id = 0;
  const probing = setInterval(() => {
    device.write(publishPacket("probe", Buffer.from("{}"), (id++ % PACKET_IDS) + 1));
  }, PROBE_EVERY_MS);
  let version = 0;
  const timed = async (deploy: (source: string) => Promise<unknown>): Promise<number[]> => {
    const times: number[] = [];
    // The first fills the caches, as the first one of a day does.
    for (let n = 0; n <= TIMES; n++) {
      version++;
      const startMs = performance.now();
      await deploy(source(version));
      await until("the new version", () => (live === version ? true : undefined), { everyMs: 1, by: sluice.process });
      if (n > 0) times.push(performance.now() - startMs);
      await pause(BETWEEN_MS);
    }
    return times;
  };
  const token = (await readFile(join(sluice.dataFolder, "admin.token"), "utf8")).trim();
  const elsewhere = join(folder.path, "probe.js");
  try {
    await until("outputs", () => (live === 0 ? true : undefined), { everyMs: 5, by: sluice.process });
    const saved = await timed((text) => writeFile(join(folder.path, "handlers", "probe.js"), text));
    const uploaded = await timed((text) =>
      fetch(`${sluice.control}/api/v1/handlers/probe/versions`, {
        method: "POST",
        headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
        body: JSON.stringify({ code: text.replaceAll(/export (const |default )/g, exported), file: "probe.js" }),
      }),
    );
    const env = { ...process.env, SLUICE_URL: sluice.control, SLUICE_TOKEN: token };
    const commanded = await timed(async (text) => {
      await writeFile(elsewhere, text);
      await run(process.execPath, [MAIN, "deploy", elsewhere], { env });
    });
    const detail = (times: readonly number[]): string =>
      `fastest ${round(Math.min(...times), 0)} ms, slowest ${round(Math.max(...times), 0)} ms`;
    return {
      "save-to-live": { value: round(median(saved), 0), detail: detail(saved) },
      "deploy-to-live": {
        value: round(median(commanded), 0),
        detail: `${detail(commanded)}; by the API alone: ${round(median(uploaded), 0)} ms`,
      },
    };
  } finally {
    clearInterval(probing);
    stop();
    device.destroy();
    await sluice.close();
    await upstream.close();
  }
}

/** What the bundler makes of such a source, as far as it matters here. */
const exported = (_: string, what: string): string =>
  what === "default " ? "module.exports.default = " : "module.exports.";
