/**
 * The rules of the house, run instead of wished for: which file may import which, how files and things are named, how
 * long a file may be, and that the container's recipe speaks of files that exist.
 */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, statSync } from "node:fs";
import { basename, dirname, join, relative, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { describe, expect, it } from "vitest";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const LINES_MAX = 400;

/** Files directly under src/ that every room may import. They import only one another. */
const LEAVES = new Set([
  "bundler",
  "kept-bundle",
  "looks",
  "event",
  "task",
  "output-bytes",
  "own-bytes",
  "fault",
  "faults",
  "fault-kind",
  "deploy-faults",
  "replay-faults",
  "harness-faults",
  "fetch",
  "fetch-faults",
  "http",
  "trigger-faults",
  "time",
  "log",
  "plain",
  "shown-bytes",
  "limits",
  "quantity",
  "topic",
  "version",
  "store-error",
  "level-table",
]);

/** What each file directly under src/ that is no leaf may import besides leaves. `true`: everything. */
const ROOTS: Record<string, true | ((target: string) => boolean)> = {
  main: (target) => target.startsWith("cli/"),
  gateway: true,
  // The other composition: it builds and loads handlers for `sluice check`, and runs nothing.
  check: true,
  // What handlers' tests import.
  testing: (target) => target.startsWith("harness/"),
  config: (target) => /^[a-z-]+\/([a-z-]+-)?settings$/.test(target) || target.startsWith("config/"),
  // The hot path on one screen, and the lanes it is made of.
  pipeline: (target) => target.startsWith("tasks/"),
};

/** The arrows between rooms that exist all the same, each with its reason. */
const GRANTED: { readonly from: string; readonly to: RegExp; readonly because: string }[] = [
  {
    from: "cli",
    to: /^(gateway$|check$|config$|config\/|control\/|harness\/)/,
    because: "commands start the gateway, speak to its control API, and try handlers out",
  },
  { from: "gateway", to: /./, because: "these are the parts of the composition root" },
  {
    from: "harness",
    to: /^(config$|config\/|deployments\/|sandbox\/|triggers\/|egress\/egress$)/,
    because: "it is a composition of its own: handlers without a gateway",
  },
  { from: "config", to: /\/([a-z-]+-)?settings$/, because: "the schema is composed of the rooms' schemas" },
  { from: "gateway", to: /./, because: "the composition root, in parts" },
];

interface Source {
  /** Relative to the repo, with slashes. */
  readonly path: string;
  readonly text: string;
  /** The text without comments and the insides of strings. */
  readonly code: string;
  readonly imports: readonly string[];
}

describe("the arrows", () => {
  const sources = read("src");

  it("every import points where the map of the house allows it", () => {
    const wrong: string[] = [];
    for (const source of sources) {
      for (const target of source.imports) {
        if (!mayImport(nameIn("src", source.path), target)) wrong.push(`${source.path} imports ${target}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  it("a room that reaches into another room would be noticed", () => {
    expect(mayImport("broker/gate", "journal/journal")).toBe(false);
    expect(mayImport("broker/gate", "broker/access")).toBe(true);
    expect(mayImport("broker/gate", "event")).toBe(true);
    expect(mayImport("event", "broker/gate")).toBe(false);
    expect(mayImport("config", "broker/settings")).toBe(true);
    expect(mayImport("config", "broker/broker")).toBe(false);
    expect(mayImport("pipeline", "journal/journal")).toBe(false);
    expect(mayImport("gateway", "journal/journal")).toBe(true);
  });

  it("every dependency that src/ imports is a production dependency", () => {
    const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as Record<string, object>;
    const shipped = new Set(Object.keys(manifest["dependencies"] ?? {}));
    const missing: string[] = [];
    for (const source of sources) {
      // The declarations of other packages speak of them; guest code has no packages at all.
      if (source.path.endsWith(".d.ts")) continue;
      for (const [, name] of source.text.matchAll(/^import(?! type)[^;"]*"((?:@[\w-]+\/)?[\w-]+)[^"]*";$/gm)) {
        if (name !== undefined && !shipped.has(name) && !name.startsWith("node") && name !== "sluice") {
          missing.push(`${source.path}: ${name}`);
        }
      }
    }
    expect(missing).toEqual([]);
  });

  it("nothing that the gateway is made of has Node load its own fetch (http.ts)", () => {
    const gateway = pathToFileURL(join(root, "src/gateway.ts")).href;
    const script = `await import("${gateway}"); console.log(process.moduleLoadList.join());`;
    const loaded = execFileSync(process.execPath, ["--input-type=module", "--eval", script], { encoding: "utf8" });
    expect(loaded.split(",")).toContain("NativeModule http");
    expect(loaded).not.toContain("undici");
  });
});

describe("the words", () => {
  const BANNED = ["utils", "util", "common", "helper", "helpers", "manager", "service", "base", "misc", "types"];
  // As a word inside a local name these two can be the right one; as the name of a thing they never are.
  const FINE_IN_LOCALS = new Set(["base", "types"]);

  it("no file or folder is called after what it is not", () => {
    const wrong = tracked().filter((path) =>
      path
        .replace(/\.[a-z.]+$/, "")
        .split(/[/.-]/)
        .some((word) => BANNED.includes(word.toLowerCase())),
    );
    expect(wrong).toEqual([]);
  });

  it("nothing in the code is called after what it is not", () => {
    const wrong: string[] = [];
    for (const source of [...read("src"), ...read("test"), ...read("demo"), ...read("bench"), ...read("handlers")]) {
      for (const [, kind, name] of source.code.matchAll(
        /\b(class|interface|type|function|const|let)\s+([A-Za-z_]\w*)/g,
      )) {
        const words = (name as string).split(/(?=[A-Z])|_/).map((word) => word.toLowerCase());
        const local = kind === "const" || kind === "let";
        if (words.some((word) => BANNED.includes(word) && !(local && FINE_IN_LOCALS.has(word)))) {
          wrong.push(`${source.path}: ${kind} ${name}`);
        }
      }
    }
    expect(wrong).toEqual([]);
  });
});

describe("the files", () => {
  const sources = read("src");

  it(`no file under src/ has more than ${LINES_MAX} lines`, () => {
    const long = sources.map((s) => `${s.path}: ${s.text.split("\n").length - 1}`);
    expect(long.filter((line) => Number(line.split(": ")[1]) > LINES_MAX)).toEqual([]);
  });

  it("no `any`, no non-null `!`, no enum, no default export", () => {
    const wrong: string[] = [];
    const forbidden: [string, RegExp][] = [
      ["any", /[:<|&(,]\s*any\b(?!\s*[:(])|\bas any\b|\bany\[\]/],
      ["non-null !", /[\w)\]]!(?=[.,;)\]]|\s*$)/m],
      ["enum", /^\s*(?:export\s+)?(?:const\s+)?enum\s/m],
      ["default export", /^export default\b/m],
    ];
    for (const source of sources) {
      for (const [what, pattern] of forbidden) {
        // What a device sends is whatever it sends: handlers get it as `any`, so that they can be short.
        if (what === "any" && source.path.endsWith("handler.d.ts")) continue;
        const found = pattern.exec(source.code);
        if (found !== null) wrong.push(`${source.path}: ${what} near ${JSON.stringify(found[0])}`);
      }
    }
    expect(wrong).toEqual([]);
  });
});

describe("the container", () => {
  const dockerfile = readFileSync(join(root, "Dockerfile"), "utf8").replaceAll("\\\n", " ");
  const statements = dockerfile.split("\n").filter((line) => /^[A-Z]+ /.test(line));
  const of = (verb: string): string[] =>
    statements.filter((s) => s.startsWith(`${verb} `)).map((s) => s.slice(verb.length + 1));

  it("every file that the Dockerfile copies exists and reaches the builder", () => {
    const ignore = readFileSync(join(root, ".dockerignore"), "utf8").split("\n");
    const copied = of("COPY").filter((words) => !words.startsWith("--from"));
    expect(copied.length).toBeGreaterThan(3);
    for (const words of copied) {
      for (const source of words.split(/\s+/).slice(0, -1)) {
        expect(existsSync(join(root, source)), source).toBe(true);
        expect(ignore, `.dockerignore lets ${source} through`).toContain(`!${source.split("/")[0]}`);
      }
    }
  });

  it("runs as somebody else than root, keeps its data in a volume, and tells its health", () => {
    expect(of("FROM").every((image) => image.startsWith("node:24-slim"))).toBe(true);
    expect(of("USER")).toEqual(["node"]);
    expect(of("VOLUME")).toEqual(['["/var/lib/sluice"]']);
    expect(of("HEALTHCHECK")[0]).toMatch(/"health"\]$/);
    expect(of("RUN").some((step) => step.includes("npm ci --omit=dev"))).toBe(true);
    for (const verb of ["ENTRYPOINT", "HEALTHCHECK"]) {
      const main = /"\/app\/(bin\/[\w./]+)"/.exec(of(verb)[0] as string);
      expect(existsSync(join(root, main?.[1] as string))).toBe(true);
    }
  });

  it("its config keeps everything durable in the volume", () => {
    const config = readFileSync(join(root, "config/container.yaml"), "utf8");
    expect(config).toMatch(/^ {2}data: \/var\/lib\/sluice$/m);
    for (const [, path] of config.matchAll(/^\s+path: (\S+)$/gm)) expect(path).toMatch(/^\/var\/lib\/sluice\//);
  });
});

describe("the scripts", () => {
  it("npm scripts run on the Node that the manifest asks for", () => {
    const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { engines: { node: string } };
    const wanted = /(\d+)\.(\d+)/.exec(manifest.engines.node);
    const [major, minor] = process.versions.node.split(".").map(Number);
    expect(major).toBeGreaterThanOrEqual(Number(wanted?.[1]));
    if (major === Number(wanted?.[1])) expect(minor).toBeGreaterThanOrEqual(Number(wanted?.[2]));
  });

  it(".ci/run can be executed and stops at the first failure", () => {
    const path = join(root, ".ci/run");
    expect(statSync(path).mode & 0o111).not.toBe(0);
    expect(readFileSync(path, "utf8")).toContain("set -euo pipefail");
  });
});

/** Both are names inside src/ without extension: "broker/gate". */
function mayImport(from: string, target: string): boolean {
  if (LEAVES.has(target)) return true;
  if (LEAVES.has(from)) return false;
  if (!from.includes("/")) {
    const allowed = ROOTS[from];
    if (allowed === undefined) return false;
    return allowed === true || allowed(target);
  }
  const room = from.slice(0, from.indexOf("/"));
  if (target.startsWith(`${room}/`)) return true;
  return GRANTED.some((grant) => grant.from === room && grant.to.test(target));
}

/** "src/broker/gate.ts" → "broker/gate". */
function nameIn(folder: string, path: string): string {
  return path.slice(folder.length + 1).replace(/(\.d)?\.[jt]s$/, "");
}

/** What is in the repo or about to be: committed, or new and not ignored. */
function tracked(folder = "."): string[] {
  const list = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard", folder], { cwd: root });
  const paths = list.toString("utf8").split("\n");
  return paths.filter((path) => path !== "" && existsSync(join(root, path)));
}

function read(folder: string): Source[] {
  return tracked(folder)
    .filter((path) => /\.[jt]s$/.test(path))
    .map((path) => {
      const text = readFileSync(join(root, path), "utf8");
      return { path, text, code: withoutTexts(text), imports: importsOf(path, text) };
    });
}

/** Names inside src/ of what a file imports by a relative path, statically, dynamically, or as a type. */
function importsOf(path: string, text: string): string[] {
  const found: string[] = [];
  for (const [, target] of text.matchAll(/(?:\bfrom\s+|\bimport\s*\(?\s*)"(\.{1,2}\/[^"]+|#src\/[^"]+)"/g)) {
    const at = (target as string).startsWith("#src/")
      ? join(root, (target as string).slice(1))
      : resolve(root, dirname(path), target as string);
    const inside = relative(join(root, "src"), at);
    // What lies outside src/ (package.json, say) is no room.
    if (!inside.startsWith("..")) found.push(nameIn("src", `src/${inside.split("\\").join("/")}`));
  }
  return found.filter((name) => basename(name) !== "");
}

/** Blanks comments, and what stands in quotes. Rough: a template's insides go with it. */
function withoutTexts(text: string): string {
  return text.replace(
    /\/\*[\s\S]*?\*\/|\/\/[^\n]*|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`|(?<=[=(,:]\s*)\/(?![*/])(?:[^/\\\n[]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[dgimsuvy]*/g,
    (match) => (match.startsWith("/") ? " " : '""'),
  );
}
