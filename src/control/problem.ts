/** Errors of the API: `application/problem+json` (RFC 9457) with the fault's code and remedy (C5). */
import { z } from "zod";
import { Fault } from "../fault.ts";
import type { FaultCode } from "../fault.ts";
import { STATUS_CODES } from "../http.ts";

export const PROBLEM_TYPE = "application/problem+json";

export const problem = z
  .object({
    type: z.string().meta({ description: "urn:sluice:fault:<code>" }),
    title: z.string(),
    status: z.int(),
    detail: z.string().meta({ description: "What is wrong, for people." }),
    code: z.string().meta({ description: "The fault code; docs/faults.md has a section for each." }),
    remedy: z.string().meta({ description: "How to mend it." }),
  })
  .meta({ id: "Problem" });
export type Problem = z.output<typeof problem>;

const STATUS: Partial<Record<FaultCode, number>> = {
  CONTROL_UNAUTHORIZED: 401,
  CONTROL_DENIED: 403,
  CONTROL_HOST: 421,
  CONTROL_NOT_FOUND: 404,
  CONTROL_NOT_DEPLOYED: 409,
  CONTROL_DEPLOYED: 409,
  CONTROL_REQUEST: 400,
  DEPLOY_ON_PROBATION: 409,
  CONTROL_STREAMS: 429,
  CONTROL_UPLOADS: 503,
  CONTROL_TOO_LARGE: 413,
  CONTROL_BROKEN: 500,
  WEBHOOK_UNKNOWN: 404,
  WEBHOOK_METHOD: 405,
  WEBHOOK_UNAUTHORIZED: 401,
  WEBHOOK_DENIED: 403,
  WEBHOOK_TYPE: 415,
  WEBHOOK_TOO_LARGE: 413,
  WEBHOOK_KEY: 422,
  WEBHOOK_RATE: 429,
  WEBHOOK_BUSY: 503,
};

export function problemOf(fault: Fault): Problem {
  const status = STATUS[fault.code] ?? (fault.passing ? 503 : 409);
  return {
    type: `urn:sluice:fault:${fault.code}`,
    title: STATUS_CODES[status] ?? "Error",
    status,
    detail: fault.where === undefined ? fault.message : `${fault.where}: ${fault.message}`,
    code: fault.code,
    remedy: fault.remedy,
  };
}

/** A fault for whatever was thrown while answering; the second says whether somebody should look into it. */
export function faultOf(thrown: unknown): { readonly fault: Fault; readonly isUnexpected: boolean } {
  if (thrown instanceof Fault) return { fault: thrown, isUnexpected: false };
  const status = thrown instanceof Error && "statusCode" in thrown ? thrown.statusCode : undefined;
  if (status === 413)
    return { fault: new Fault("CONTROL_TOO_LARGE", "the body is too large", { cause: thrown }), isUnexpected: false };
  if (typeof status === "number" && status >= 400 && status < 500) {
    const message = thrown instanceof Error ? thrown.message : "the request is not right";
    return { fault: new Fault("CONTROL_REQUEST", message, { cause: thrown }), isUnexpected: false };
  }
  return { fault: new Fault("CONTROL_BROKEN", "the gateway could not answer", { cause: thrown }), isUnexpected: true };
}
