/** What loading a version came to, as whoever deploys it is told. */
import type { Failure } from "../task.ts";
import type { Loaded } from "./isolates.ts";
import { AS_IT_IS } from "./redaction.ts";
import type { Redact } from "./redaction.ts";
import type { Stacks } from "./stacks.ts";

export type Load =
  | { readonly at: "ready"; readonly config: unknown }
  /** `where` is file:line:column in the user's source, when it is known. */
  | { readonly at: "failed"; readonly failure: Failure & { readonly where?: string } };

export function withoutSecrets({ code, message, stack }: Failure, redact: Redact): Failure {
  const plain = { code, message: redact(message) };
  return stack === undefined ? plain : { ...plain, stack: redact(stack) };
}

export function asLoad(loaded: Loaded | undefined, stacks: Stacks, redact: Redact = AS_IT_IS): Load {
  if (loaded === undefined) {
    const message = "the runner was lost each time the handler was loaded";
    return { at: "failed", failure: { code: "SANDBOX_RUNNER_LOST", message } };
  }
  if (loaded.at === "ready") return { at: "ready", config: JSON.parse(loaded.config) as unknown };
  const failure = stacks.map(withoutSecrets(loaded.failure, redact));
  const where = stacks.where(failure);
  const { code, message, stack } = failure;
  const plain = stack === undefined ? { code, message } : { code, message, stack };
  return { at: "failed", failure: where === undefined ? plain : { ...plain, where } };
}
