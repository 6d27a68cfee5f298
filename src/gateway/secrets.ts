/** Secrets between the config, which says where they are, and the handlers that are granted them. */
import { nearest } from "../config/similar.ts";
import { Fault } from "../fault.ts";

/** Throws Fault DEPLOY_SECRET_UNKNOWN when the gateway does not have one of `names`. `where`: the handler's source. */
export function checkSecrets(names: readonly string[], known: readonly string[], where: string): void {
  const unknown = names.find((name) => !known.includes(name));
  if (unknown === undefined) return;
  const meant = nearest(unknown, known);
  throw new Fault("DEPLOY_SECRET_UNKNOWN", `the gateway has no secret "${unknown}"`, {
    where,
    ...(meant === undefined ? {} : { remedy: `Did you mean "${meant}"?` }),
  });
}

/** Names of secrets that have another value, or none any more. */
export function changedSecrets(before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>): Set<string> {
  return new Set([...before.keys()].filter((name) => before.get(name) !== after.get(name)));
}
