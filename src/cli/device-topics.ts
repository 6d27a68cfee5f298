/** What `pub` and `sub` are asked for, looked at before anything connects: a broker only closes, or stays silent. */
import { Fault } from "../fault.ts";

const TOPIC_BYTES_MAX = 65_535;

/** Throws CLI_USAGE for what is no topic [MQTT-3.3.2-2], CLI_REFUSED for one that the gateway takes from nobody. */
export function checkTopic(topic: string): void {
  const flaw = flawOf(topic) ?? (/[+#]/.test(topic) ? "+ and # are for filters; a message has one topic" : undefined);
  if (flaw !== undefined) throw new Fault("CLI_USAGE", `"${topic}" is no topic: ${flaw}`);
  if (!topic.startsWith("$")) return;
  throw new Fault("CLI_REFUSED", "topics that begin with $ belong to the broker, and no device may publish there", {
    where: topic,
  });
}

/** Throws CLI_USAGE for what is no topic filter [MQTT-4.7.1], CLI_REFUSED for one that the gateway lets nobody have. */
export function checkFilter(filter: string): void {
  const levels = filter.split("/");
  const isMixed = (level: string): boolean => level.length > 1 && /[+#]/.test(level);
  let flaw = flawOf(filter);
  if (levels.slice(0, -1).includes("#")) flaw ??= "# may only be the last level";
  const mixed = levels.find(isMixed);
  if (mixed !== undefined) flaw ??= `level "${mixed}" mixes a wildcard with text`;
  if (flaw !== undefined) throw new Fault("CLI_USAGE", `"${filter}" is no topic filter: ${flaw}`);
  if (!filter.startsWith("$")) return;
  const why = filter.startsWith("$share/")
    ? "the gateway has no shared subscriptions: each subscriber gets every message"
    : "topics that begin with $ belong to the broker, and the gateway publishes nothing there";
  throw new Fault("CLI_REFUSED", why, { where: filter });
}

function flawOf(text: string): string | undefined {
  if (text === "") return "it is empty";
  if (text.includes("\0")) return "it contains U+0000";
  return Buffer.byteLength(text) > TOPIC_BYTES_MAX ? "it is longer than 65,535 bytes" : undefined;
}
