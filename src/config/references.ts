/** Names in one section that must exist in another. */
import { child } from "./json-schema.ts";
import { settingName } from "./problem.ts";
import type { ConfigProblem } from "./problem.ts";
import { exampleOf } from "./secrets.ts";
import { nearest } from "./similar.ts";
import type { Path, Source } from "./source.ts";

interface Listed {
  readonly path: Path;
  readonly list: unknown;
  /** What each name is to be a name of, and those that there are. */
  readonly kind: "uplink" | "secret";
  readonly known: readonly string[];
}

/** Uplinks and secrets that are named and that the config does not have. */
export function findReferences(data: unknown, source: Source): ConfigProblem[] {
  const uplinks = Object.keys(object(child(data, "uplinks")));
  const secrets = Object.keys(object(child(data, "secrets")));
  const routes = child(data, "routes");
  const settings = object(child(child(data, "handlers"), "settings"));
  const lists: Listed[] = [
    ...(Array.isArray(routes) ? routes : []).map((route, index): Listed => {
      return { path: ["routes", index, "to"], list: child(route, "to"), kind: "uplink", known: uplinks };
    }),
    ...Object.entries(settings).flatMap(([name, of]): Listed[] => {
      const at = ["handlers", "settings", name];
      return [
        { path: [...at, "to"], list: child(of, "to"), kind: "uplink", known: uplinks },
        { path: [...at, "secrets"], list: child(of, "secrets"), kind: "secret", known: secrets },
      ];
    }),
  ];
  return lists.flatMap((listed) => unknownIn(listed, source));
}

function unknownIn({ path, list, kind, known }: Listed, source: Source): ConfigProblem[] {
  return (Array.isArray(list) ? list : [list]).flatMap((name: unknown, index): ConfigProblem[] => {
    const at = Array.isArray(list) ? [...path, index] : path;
    if (typeof name !== "string" || known.includes(name) || source.isBroken(at)) return [];
    const meant = nearest(name, known);
    const all =
      known.length === 0
        ? firstOf(kind, source.fromEnvironment(at) ? undefined : name)
        : `The ${kind}s are: ${known.join(", ")}.`;
    return [
      {
        code: "CONFIG_INVALID",
        path: at,
        message: source.fromEnvironment(at)
          ? `\`${settingName(at)}\` names no ${kind}`
          : `\`${settingName(at)}\`: there is no ${kind} ${JSON.stringify(name)}`,
        remedy: meant === undefined ? all : `Did you mean \`${meant}\`?`,
        ...source.place(at),
      },
    ];
  });
}

/** How to write the first one; `name` is undefined when it must not be shown. */
function firstOf(kind: Listed["kind"], name: string | undefined): string {
  const uplink = name ?? "cloud";
  const example =
    kind === "secret"
      ? exampleOf(name ?? "apiKey")
      : `uplinks: { ${uplink}: { kind: file, path: ../data/${uplink}.ndjson } }`;
  return `The config has no ${kind}s yet; write \`${example}\`, for instance.`;
}

function object(value: unknown): object {
  return typeof value === "object" && value !== null ? value : {};
}
