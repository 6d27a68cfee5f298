/** `sluice sub`: what the broker delivers, one message a line. */
import { Command } from "commander";
import type { IPublishPacket, MqttClient } from "mqtt";
import { Fault } from "../fault.ts";
import { connectDevice, wholeNumber, withDeviceOptions } from "./device.ts";
import type { DeviceOptions } from "./device.ts";
import { checkFilter } from "./device-topics.ts";
import { EXIT } from "./exit.ts";
import { plain, plainLines } from "../plain.ts";
import { printJson, say } from "./terminal.ts";

interface SubOptions extends DeviceOptions {
  readonly topic: readonly string[];
  readonly count?: number;
  readonly wait?: number;
  readonly verbose?: boolean;
  readonly retained: boolean;
  readonly json?: boolean;
}

export function subCommand(done: (code: number) => void): Command {
  return withDeviceOptions(new Command("sub"))
    .description("Subscribes as a device would, and prints each payload as a line.")
    .requiredOption(
      "-t, --topic <filter>",
      "topic filter; may be given several times",
      (text, sofar: readonly string[] | undefined) => [...(sofar ?? []), text],
    )
    .option("-C, --count <n>", "end after n messages", wholeNumber(1, 1e9))
    .option("-W, --wait <seconds>", "end after so many seconds", wholeNumber(1, 1e6))
    .option("-v, --verbose", "print the topic before the payload")
    .option("-R, --no-retained", "leave out retained messages")
    .option("--json", "print {time, topic, qos, retain, payload} for each; payload_base64 where it is no text")
    .addHelpText(
      "after",
      `
Exit status: 0 when -C messages came, 1 when -W ended it before, 130 when you did.

Examples:
  sluice sub -t 'plant/#' -v
  sluice sub -t alarms -C 1 -W 30 && echo alarm`,
    )
    .action(async (options: SubOptions) => {
      for (const filter of options.topic) checkFilter(filter);
      const client = await connectDevice(options);
      try {
        done(await listen(client, options));
      } finally {
        await client.endAsync(true);
      }
    });
}

function listen(client: MqttClient, options: SubOptions): Promise<number> {
  return new Promise((resolve, reject) => {
    let count = 0;
    const timer =
      options.wait === undefined
        ? undefined
        : setTimeout(() => {
            if (options.count === undefined && count > 0) resolve(EXIT.ok);
            else
              reject(
                new Fault("CLI_TIMEOUT", `${count} of ${options.count ?? "any"} messages came`, {
                  where: options.topic.join(", "),
                }),
              );
          }, options.wait * 1000);
    const interrupted = (): void => resolve(EXIT.interrupted);
    process.once("SIGINT", interrupted);
    process.once("SIGTERM", interrupted);
    const message = (topic: string, payload: Buffer, packet: IPublishPacket): void => {
      if (packet.retain && !options.retained) return;
      write(topic, payload, packet, options);
      if (++count !== options.count) return;
      clearTimeout(timer);
      client.off("message", message);
      resolve(EXIT.ok);
    };
    client.on("message", message);
    client.on("close", () => reject(new Fault("CLI_BROKER", "the broker closed the connection")));
    client.on("error", (error) => reject(new Fault("CLI_BROKER", error.message, { cause: error })));
    client.subscribe([...options.topic], { qos: options.qos }, (error, grants) => {
      const refused = (grants ?? []).filter((grant) => grant.qos > 2).map((grant) => grant.topic);
      if (refused.length > 0 || error) {
        reject(
          new Fault("CLI_BROKER", "the broker refused the subscription", {
            where: refused.join(", ") || options.topic.join(", "),
          }),
        );
      } else if (process.stderr.isTTY && options.json !== true) say(`subscribed to ${options.topic.join(", ")}`);
    });
  });
}

function write(topic: string, payload: Buffer, packet: IPublishPacket, options: SubOptions): void {
  if (options.json === true) {
    const time = new Date().toISOString();
    const text = payload.toString("utf8");
    const body = Buffer.from(text).equals(payload) ? { payload: text } : { payload_base64: payload.toString("base64") };
    printJson({ time, topic, qos: packet.qos, retain: packet.retain, ...body });
    return;
  }
  // A program gets the bytes; a terminal would obey some of them.
  const { isTTY } = process.stdout;
  if (options.verbose === true) process.stdout.write(`${isTTY ? plain(topic) : topic} `);
  process.stdout.write(isTTY ? plainLines(payload.toString()) : payload);
  process.stdout.write("\n");
}
