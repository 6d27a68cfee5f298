/** How `pub`, `sub` and `simulate` connect: mosquitto's letters, and the config's listener where they say nothing. */
import { existsSync } from "node:fs";
import { InvalidArgumentError } from "commander";
import type { Command } from "commander";
import { connectAsync } from "mqtt";
import type { IClientOptions, MqttClient } from "mqtt";
import { Fault, messageOf } from "../fault.ts";

export interface DeviceOptions {
  readonly config?: string;
  readonly host?: string;
  readonly port?: number;
  readonly id?: string;
  readonly username?: string;
  readonly password?: string;
  readonly keepalive: number;
  readonly qos: 0 | 1 | 2;
}

const CONNECT_TIMEOUT_MS = 10_000;

/** The letters that all three share. -h is the host, as mosquitto has it, so help is --help alone. */
export function withDeviceOptions(command: Command): Command {
  return command
    .helpOption("--help", "show this")
    .option("-h, --host <host>", "the broker's host; default: the config's first listener, else 127.0.0.1")
    .option("-p, --port <port>", "its port", wholeNumber(1, 65_535))
    .option("-i, --id <id>", "client id; default: a random one")
    .option("-u, --username <name>", "user name")
    .option("-P, --password <password>", "password; SLUICE_PASSWORD keeps it out of the process list")
    .option("-k, --keepalive <seconds>", "keepalive", wholeNumber(0, 65_535), 60)
    .option("-q, --qos <0|1|2>", "quality of service", quality, 1)
    .option("--config <file>", "the gateway's config, for its listener");
}

export async function connectDevice(options: DeviceOptions, further: IClientOptions = {}): Promise<MqttClient> {
  const url = await brokerUrl(options, process.env);
  const password = options.password ?? process.env["SLUICE_PASSWORD"];
  try {
    return await connectAsync(url, {
      clientId: options.id ?? `sluice-cli-${process.pid}-${Math.random().toString(36).slice(2, 8)}`,
      ...(options.username === undefined ? {} : { username: options.username }),
      ...(password === undefined ? {} : { password }),
      keepalive: options.keepalive,
      connectTimeout: CONNECT_TIMEOUT_MS,
      reconnectPeriod: 0,
      clean: true,
      ...further,
    });
  } catch (thrown) {
    throw new Fault("CLI_BROKER", `the broker cannot be reached: ${messageOf(thrown) || "no connection"}`, {
      where: url,
      cause: thrown,
    });
  }
}

async function brokerUrl(options: DeviceOptions, env: NodeJS.ProcessEnv): Promise<string> {
  if (options.host !== undefined || options.port !== undefined) {
    return `mqtt://${options.host ?? "127.0.0.1"}:${options.port ?? 1883}`;
  }
  const { configFile, loadConfig } = await import("../config.ts");
  if (options.config === undefined && !isThere(() => configFile(undefined, env))) return "mqtt://127.0.0.1:1883";
  const config = await loadConfig(options.config, env);
  return config.broker.listeners[0]?.url ?? "mqtt://127.0.0.1:1883";
}

function isThere(file: () => string): boolean {
  try {
    return existsSync(file());
  } catch {
    return false;
  }
}

/** For commander: a whole number within bounds. */
export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < min || value > max)
      throw new InvalidArgumentError(`Write a whole number from ${min} to ${max}.`);
    return value;
  };
}

function quality(text: string): number {
  if (!/^[012]$/.test(text)) throw new InvalidArgumentError("Write 0, 1 or 2.");
  return Number(text);
}
