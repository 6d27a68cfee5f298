/** Names in one section that must exist in another. */
import { child } from "./json-schema.ts";
import { settingName } from "./problem.ts";
import type { ConfigProblem } from "./problem.ts";
import { nearest } from "./similar.ts";
import type { Path, Source } from "./source.ts";

/** Uplinks that `to` lists name and the config does not have. */
export function findReferences(data: unknown, source: Source): ConfigProblem[] {
  const uplinks = Object.keys(object(child(data, "uplinks")));
  const routes = child(data, "routes");
  const settings = object(child(child(data, "handlers"), "settings"));
  const lists: [Path, unknown][] = [
    ...(Array.isArray(routes) ? routes : []).map((route, index): [Path, unknown] => [
      ["routes", index, "to"],
      child(route, "to"),
    ]),
    ...Object.entries(settings).map(([name, of]): [Path, unknown] => [
      ["handlers", "settings", name, "to"],
      child(of, "to"),
    ]),
  ];
  return lists.flatMap(([path, list]) =>
    (Array.isArray(list) ? list : [list]).flatMap((name: unknown, index): ConfigProblem[] => {
      const at = Array.isArray(list) ? [...path, index] : path;
      if (typeof name !== "string" || uplinks.includes(name) || source.isBroken(at)) return [];
      const meant = nearest(name, uplinks);
      const known = uplinks.length === 0 ? "The config has no uplinks yet." : `The uplinks are: ${uplinks.join(", ")}.`;
      return [
        {
          code: "CONFIG_INVALID",
          path: at,
          message: source.fromEnvironment(at)
            ? `\`${settingName(at)}\` names no uplink`
            : `\`${settingName(at)}\`: there is no uplink ${JSON.stringify(name)}`,
          remedy: meant === undefined ? known : `Did you mean \`${meant}\`?`,
          ...source.place(at),
        },
      ];
    }),
  );
}

function object(value: unknown): object {
  return typeof value === "object" && value !== null ? value : {};
}
