/** Whether a call's body is signed with a secret: HMAC-SHA256, in hex, compared in constant time. */
import { createHmac, timingSafeEqual } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import type { WebhookAuth } from "./webhook.ts";

type Hmac = Extract<WebhookAuth, { hmac: object }>["hmac"];

const BYTES = 32;

/** Why it is not, or undefined. `body` is what came over the wire. */
export function signatureFlaw(
  { header, timestampHeader, toleranceMs }: Hmac,
  secret: string,
  headers: IncomingHttpHeaders,
  body: Buffer,
  nowMs: number,
): string | undefined {
  const given = headers[header.toLowerCase()];
  if (typeof given !== "string") return `there is no one header ${header}`;
  const hmac = createHmac("sha256", secret);
  if (timestampHeader !== undefined) {
    const timestamp = headers[timestampHeader.toLowerCase()];
    if (typeof timestamp !== "string" || !/^\d{1,11}$/.test(timestamp)) {
      return `${timestampHeader} is no number of seconds since 1970`;
    }
    if (Math.abs(nowMs - Number(timestamp) * 1000) > toleranceMs) return `${timestampHeader} is too far from now`;
    hmac.update(`${timestamp}.`);
  }
  const wanted = hmac.update(body).digest();
  const hex = /^(?:sha256=)?([0-9a-f]{64})$/i.exec(given.trim())?.[1];
  // Whatever came, as many bytes are compared.
  const bytes = hex === undefined ? Buffer.alloc(BYTES) : Buffer.from(hex, "hex");
  return timingSafeEqual(bytes, wanted) && hex !== undefined ? undefined : "the signature is not right";
}
