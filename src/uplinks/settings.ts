/** The schema of the config's `uplinks:`, composed from the table of kinds. */
import { resolve } from "node:path";
import { z } from "zod";
import { UPLINK_KINDS } from "./kinds.ts";

export const uplinkSettings = z
  .discriminatedUnion("kind", [UPLINK_KINDS.file.settings, UPLINK_KINDS.https.settings, UPLINK_KINDS.mqtt.settings])
  .meta({ description: "One destination for outputs." });

export type UplinkSettings = z.output<typeof uplinkSettings>;

/** Names stand in topics, URLs, metrics and file names. */
export const uplinksSettings = z
  .record(
    z.string().regex(/^[a-z0-9][a-z0-9_-]{0,63}$/i, { error: "an uplink's name has letters, digits, - and _" }),
    uplinkSettings,
  )
  .superRefine((uplinks, ctx) => {
    for (const { path, message } of [...sharedFiles(uplinks), ...sharedClients(uplinks)]) {
      ctx.addIssue({ code: "custom", path: [...path], message });
    }
  })
  .meta({ description: "Where outputs go, by name." });

interface Clash {
  readonly path: readonly string[];
  readonly message: string;
}

type Named = Readonly<Record<string, UplinkSettings>>;

function sharedFiles(uplinks: Named): Clash[] {
  const names = new Map<string, string>();
  const clashes: Clash[] = [];
  for (const [name, settings] of Object.entries(uplinks)) {
    if (settings.kind !== "file") continue;
    // config.ts has made it absolute; two spellings of one place are one.
    const path = resolve(settings.path);
    const other = names.get(path);
    if (other !== undefined) {
      const message = `is the file of uplink ${other} as well, and each would rotate it under the other`;
      clashes.push({ path: [name, "path"], message });
    }
    names.set(path, name);
  }
  for (const [path, name] of names) {
    const other = names.get(path.replace(/\.\d+$/, ""));
    if (other === undefined || other === name) continue;
    const message = `is what the file of uplink ${other} is renamed to when it is full`;
    clashes.push({ path: [name, "path"], message });
  }
  return clashes;
}

function sharedClients(uplinks: Named): Clash[] {
  const names = new Map<string, string>();
  const clashes: Clash[] = [];
  for (const [name, settings] of Object.entries(uplinks)) {
    if (settings.kind !== "mqtt" || settings.clientId === undefined) continue;
    const url = URL.parse(settings.url);
    if (url === null || url.hostname === "") continue; // That has been told already.
    const { hostname, port, protocol } = url;
    const client = JSON.stringify([hostname, port || (protocol === "mqtts:" ? "8883" : "1883"), settings.clientId]);
    const other = names.get(client);
    if (other !== undefined) {
      const message = `is the client id of uplink ${other} at the same server, which would close one's connection for the other's`;
      clashes.push({ path: [name, "clientId"], message });
    }
    names.set(client, name);
  }
  return clashes;
}
