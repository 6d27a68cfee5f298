import { mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FakeHttpsCloud } from "../doubles/fake-https-cloud.ts";
import { FakeMqttCloud } from "../doubles/fake-mqtt-cloud.ts";
import { uplinkContract } from "./uplink.ts";
import type { Arrival, Peer } from "./uplink.ts";

uplinkContract({
  kind: "file",
  // A disk does not answer late, hang up or ask for credentials, and it takes every line.
  can: new Set(),
  async open(): Promise<Peer> {
    const folder = await mkdtemp(join(tmpdir(), "sluice-uplink-contract-"));
    const out = join(folder, "out");
    let down = false;
    return {
      folder,
      settings: { kind: "file", path: "out/cloud.ndjson" },
      async arrivals() {
        const text = await readFile(join(out, "cloud.ndjson"), "utf8");
        const lines = text.split("\n").slice(0, -1);
        return lines.map((line) => JSON.parse(line) as Arrival);
      },
      async behave(behaviour) {
        if (behaviour === "down" && !down) {
          await rename(out, `${out}.away`).catch(() => undefined);
          await writeFile(out, "a file where the folder should be");
        } else if (behaviour === "well" && down) {
          await rm(out);
          await rename(`${out}.away`, out).catch(() => undefined);
        }
        down = behaviour === "down";
      },
      poison: () => undefined,
      close: () => rm(folder, { recursive: true, force: true }),
    };
  },
});

uplinkContract({
  kind: "https",
  can: new Set(["silent", "resetting", "denying", "poison"]),
  async open(): Promise<Peer> {
    const cloud = await FakeHttpsCloud.open();
    let down = false;
    return {
      settings: { kind: "https", url: cloud.url },
      arrivals: () => Promise.resolve(cloud.arrived),
      async behave(behaviour) {
        if (behaviour === "down") await cloud.down();
        else if (down) await cloud.up();
        down = behaviour === "down";
        if (behaviour === "denying") cloud.behaviour = { at: "answering", status: 401 };
        else cloud.behaviour = { at: behaviour === "down" ? "well" : behaviour };
      },
      poison: (seq) => {
        cloud.poison = seq;
      },
      close: () => cloud.close(),
    };
  },
});

uplinkContract({
  kind: "mqtt",
  can: new Set(["silent", "resetting", "denying", "poison"]),
  async open(): Promise<Peer> {
    const cloud = await FakeMqttCloud.open();
    let down = false;
    return {
      settings: { kind: "mqtt", url: cloud.url },
      arrivals: () => Promise.resolve(cloud.arrived.map(({ payload }) => JSON.parse(payload.toString()) as Arrival)),
      async behave(behaviour) {
        if (behaviour === "down") await cloud.down();
        else if (down) await cloud.up();
        down = behaviour === "down";
        switch (behaviour) {
          case "denying":
            cloud.behaviour = { at: "refusing", code: 4 };
            break;
          case "resetting":
            cloud.behaviour = { at: "resetting", after: 70 };
            break;
          case "silent":
            cloud.behaviour = { at: "silent" };
            break;
          case "well":
          case "down":
            cloud.behaviour = { at: "well" };
            // Connections that were kept without answers would stay so.
            cloud.cut();
        }
      },
      poison: (seq) => {
        cloud.poison = `"sluiceseq":${seq},`;
      },
      close: () => cloud.close(),
    };
  },
});
