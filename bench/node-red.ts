/** Node-RED with one flow: mqtt in → json → function → mqtt out, QoS 1 on both sides. It stores nothing. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { start, until } from "./processes.ts";
import type { Started } from "./processes.ts";

/** The same work as ENRICH in sluice.ts does. */
const FUNCTION = "msg.payload.f = msg.payload.c * 1.8 + 32; return msg;";

export async function openNodeRed(folder: string, fromPort: number, toPort: number): Promise<Started> {
  const broker = (id: string, port: number): object => ({
    id,
    type: "mqtt-broker",
    broker: "127.0.0.1",
    port: String(port),
    clientid: `bench-${id}`,
    autoConnect: true,
    usetls: false,
    protocolVersion: "4",
    keepalive: "60",
    cleansession: true,
  });
  const flows = [
    { id: "tab", type: "tab", label: "bench" },
    broker("from", fromPort),
    broker("to", toPort),
    {
      id: "in",
      type: "mqtt in",
      z: "tab",
      topic: "plant/#",
      qos: "1",
      datatype: "utf8",
      broker: "from",
      inputs: 0,
      wires: [["parse"]],
    },
    { id: "parse", type: "json", z: "tab", property: "payload", action: "", wires: [["enrich"]] },
    { id: "enrich", type: "function", z: "tab", func: FUNCTION, outputs: 1, wires: [["out"]] },
    { id: "out", type: "mqtt out", z: "tab", topic: "", qos: "1", retain: "false", broker: "to", wires: [] },
  ];
  await writeFile(join(folder, "flows.json"), JSON.stringify(flows));
  const settings = {
    flowFile: "flows.json",
    httpAdminRoot: false,
    httpNodeRoot: false,
    logging: { console: { level: "info", metrics: false, audit: false } },
    diagnostics: { enabled: false, ui: false },
    telemetry: { enabled: false, updateNotification: false },
    externalModules: { autoInstall: false },
  };
  await writeFile(join(folder, "settings.js"), `module.exports = ${JSON.stringify(settings)};\n`);
  const red = join(import.meta.dirname, "node_modules/node-red/red.js");
  const nodeRed = start(process.execPath, [red, "--userDir", folder, "--settings", join(folder, "settings.js")]);
  await until(
    "Node-RED connected to both brokers",
    () => (nodeRed.output().match(/Connected to broker/g)?.length === 2 ? true : undefined),
    { withinMs: 60_000, by: nodeRed },
  );
  return nodeRed;
}
