/** What a listener's URL says, and what is wrong with it as far as nobody has to be asked: the config is checked by it. */
import { isIP } from "node:net";
import type { FaultCode } from "../fault.ts";

const MQTT_PORT = 1883;

export type ListenerUrl =
  | { readonly at: "good"; readonly host: string; readonly port: number }
  | { readonly at: "flawed"; readonly code: FaultCode; readonly message: string };

export function readListenerUrl(text: string): ListenerUrl {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const rest = url === undefined ? "" : `${url.username}${url.password}${url.search}${url.hash}`;
  if (url?.protocol !== "mqtt:" || url.hostname === "" || !["", "/"].includes(url.pathname) || rest !== "") {
    return { at: "flawed", code: "BROKER_LISTENER_INVALID", message: "is not of the form mqtt://host:port" };
  }
  const host = url.hostname.replace(/^\[|\]$/g, "");
  // A name is asked for its address when the listener opens.
  if (isIP(host) !== 0 && !isLoopback(host)) return { at: "flawed", code: "BROKER_LISTENER_OPEN", message: BEYOND };
  return { at: "good", host, port: url.port === "" ? MQTT_PORT : Number(url.port) };
}

export const BEYOND = "is beyond loopback, which needs authentication, which this version does not have";

export function isLoopback(address: string): boolean {
  return address.includes(":") ? address === "::1" : address.startsWith("127.");
}
