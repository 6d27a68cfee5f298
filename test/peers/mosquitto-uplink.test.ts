import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectAsync } from "mqtt";
import type { IClientOptions } from "mqtt";
import { describe, expect, it, onTestFinished } from "vitest";
import { MemoryOutbox } from "../doubles/memory-outbox.ts";
import { freePort } from "../stories/rig/ports.ts";
import { idOf, openUplink } from "../uplinks/opened.ts";
import { Mosquitto } from "./rig/mosquitto.ts";
import { needTools } from "./rig/tools.ts";

/** Starts a mosquitto and returns its port. */
async function broker(listener?: readonly string[]): Promise<{ port: number; mosquitto: Mosquitto }> {
  const mosquitto = new Mosquitto(await freePort(), listener);
  onTestFinished(() => mosquitto[Symbol.asyncDispose]());
  await mosquitto.start();
  return { port: mosquitto.port, mosquitto };
}

/** Ids of all that a subscriber at the broker gets, in order. */
async function subscriber(url: string, options: IClientOptions = {}): Promise<string[]> {
  const ids: string[] = [];
  const client = await connectAsync(url, { ...options, reconnectPeriod: 100 });
  onTestFinished(() => client.endAsync(true));
  client.on("message", (_topic, payload) => ids.push((JSON.parse(payload.toString()) as { id: string }).id));
  await client.subscribeAsync("#", { qos: 1 });
  return ids;
}

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "sluice-mosquitto-uplink-"));
  onTestFinished(() => rmSync(path, { recursive: true }));
  return path;
}

/** A certificate authority, and certificates for the server (loopback) and for us, by the openssl command. */
function certificates(): string {
  needTools("openssl");
  const path = folder();
  const openssl = (...args: string[]): void => {
    execFileSync("openssl", args, { cwd: path, stdio: "ignore" });
  };
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  openssl("req", "-x509", ...key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=test ca");
  writeFileSync(join(path, "san"), "subjectAltName=DNS:cloud.test,IP:127.0.0.1");
  for (const name of ["server", "client"]) {
    openssl("req", ...key, "-keyout", `${name}.key`, "-out", `${name}.csr`, "-subj", `/CN=${name}`);
    const sign = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "san"];
    openssl("x509", "-req", "-in", `${name}.csr`, "-out", `${name}.pem`, ...sign);
  }
  return path;
}

const expected = (outbox: MemoryOutbox): string[] => outbox.entries.map(({ seq }) => idOf(outbox, seq));

describe("an mqtt uplink to mosquitto", () => {
  it("delivers everything in order, with few messages in flight as well", async () => {
    const { port } = await broker();
    const url = `mqtt://127.0.0.1:${port}`;
    const ids = await subscriber(url);
    const outbox = new MemoryOutbox();
    outbox.emitMany(10_000);
    const uplinks = openUplink({ outbox, settings: { kind: "mqtt", url } });
    await outbox.drained();
    await uplinks.close(1000);
    outbox.emitMany(1000);
    openUplink({ outbox, settings: { kind: "mqtt", url, inflight: 20 } });
    await outbox.drained();
    await outbox.until(() => ids.length >= 11_000);
    expect(ids).toEqual(expected(outbox));
  });

  it("goes on in order after mosquitto was killed and started again", async () => {
    const { port, mosquitto } = await broker();
    const url = `mqtt://127.0.0.1:${port}`;
    const outbox = new MemoryOutbox();
    const uplinks = openUplink({ outbox, settings: { kind: "mqtt", url, rate: 20_000 } });
    outbox.emitMany(30_000);
    await outbox.until(() => outbox.receipts.size > 1000);
    await mosquitto.stop("SIGKILL");
    await outbox.until(() => uplinks.status()[0]?.healthy === false);
    await mosquitto.start();
    await outbox.drained();
    const delivered = outbox.order.map(({ seq }) => seq);
    expect(delivered).toEqual(outbox.entries.map(({ seq }) => seq));
  });

  it("speaks TLS, shows its certificate, and trusts nobody whom the settings do not name", async () => {
    const path = certificates();
    const at = (name: string): string => join(path, name);
    const { port } = await broker([
      `cafile ${at("ca.pem")}`,
      `certfile ${at("server.pem")}`,
      `keyfile ${at("server.key")}`,
      "require_certificate true",
      "use_identity_as_username true",
      "allow_anonymous false",
    ]);
    const url = `mqtts://127.0.0.1:${port}`;
    const own = { ca: at("ca.pem"), cert: at("client.pem"), key: at("client.key") };
    const read = { ca: readFileSync(own.ca), cert: readFileSync(own.cert), key: readFileSync(own.key) };
    const ids = await subscriber(url, read);
    const outbox = new MemoryOutbox();
    outbox.emitMany(500);
    for (const tls of [undefined, { ca: own.ca }, { ...own, servername: "other.test" }]) {
      const refused = openUplink({ outbox, settings: { kind: "mqtt", url, tls } });
      await outbox.until(() => refused.status()[0]?.healthy === false);
      expect(refused.status()[0]?.fault?.code).toBe("UPLINK_DENIED");
      await refused.close(100);
    }
    expect(outbox.receipts.size).toBe(0);
    openUplink({ outbox, settings: { kind: "mqtt", url, tls: { ...own, servername: "cloud.test" } } });
    await outbox.drained();
    await outbox.until(() => ids.length >= 500);
    expect(ids).toEqual(expected(outbox));
  });

  it("waits while the password is wrong", async () => {
    needTools("mosquitto_passwd");
    const file = join(folder(), "passwords");
    execFileSync("mosquitto_passwd", ["-b", "-c", file, "box", "right"]);
    const { port } = await broker(["allow_anonymous false", `password_file ${file}`]);
    const url = `mqtt://127.0.0.1:${port}`;
    const outbox = new MemoryOutbox();
    outbox.emitMany(10);
    const wrong = openUplink({ outbox, settings: { kind: "mqtt", url, username: "box", password: "wrong" } });
    await outbox.until(() => (wrong.figures()["cloud"]?.faults ?? 0) >= 2);
    expect(wrong.status()[0]?.fault?.code).toBe("UPLINK_DENIED");
    expect(outbox.receipts.size).toBe(0);
    await wrong.close(100);
    openUplink({ outbox, settings: { kind: "mqtt", url, username: "box", password: "right" } });
    await outbox.drained();
    expect(outbox.count("delivered")).toBe(10);
  });

  it("rejects the one message that mosquitto hangs up on, and delivers the others", async () => {
    const { port } = await broker(["allow_anonymous true", "max_packet_size 20000"]);
    const url = `mqtt://127.0.0.1:${port}`;
    const ids = await subscriber(url);
    const outbox = new MemoryOutbox();
    for (let seq = 0; seq < 300; seq++) {
      outbox.emit({ data: JSON.stringify("x".repeat(seq === 123 ? 30_000 : 20)) });
    }
    openUplink({ outbox, settings: { kind: "mqtt", url } });
    await outbox.drained();
    expect(outbox.count("rejected")).toBe(1);
    expect(outbox.receipts.get(123)?.failure?.code).toBe("UPLINK_POISON");
    await outbox.until(() => new Set(ids).size === 299);
  });
});
