/** Secrets between the config, which says where they are, and the handlers that are granted them. */
import { exampleOf } from "../config/secrets.ts";
import { nearest } from "../config/similar.ts";
import { Fault } from "../fault.ts";

/** Throws Fault DEPLOY_SECRET_UNKNOWN when the gateway does not have one of `names`. `where`: the handler's source. */
export function checkSecrets(names: readonly string[], known: readonly string[], where: string): void {
  const unknown = names.find((name) => !known.includes(name));
  if (unknown === undefined) return;
  const meant = nearest(unknown, known);
  const remedy =
    meant === undefined
      ? `Give it one in the gateway's config, such as \`${exampleOf(unknown)}\`, or take the name out of the handler's \`secrets\`.`
      : `Did you mean "${meant}"?`;
  throw new Fault("DEPLOY_SECRET_UNKNOWN", `the gateway has no secret "${unknown}"`, { where, remedy });
}

/** Names of secrets that have another value, or none any more. */
export function changedSecrets(before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>): Set<string> {
  return new Set([...before.keys()].filter((name) => before.get(name) !== after.get(name)));
}
