/**
 * The text of a config file: YAML 1.2 to plain data, with the place of each setting, and the environment put in.
 *
 * The tree is walked node by node rather than turned to JavaScript by the YAML library, for three reasons: each setting
 * needs its line and column, variables may only change scalars (a value from the environment can never become a key, a
 * list or a further setting), and aliases must not multiply without bound.
 */
import { isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument } from "yaml";
import type { Document, Node } from "yaml";
import type { ConfigProblem } from "./problem.ts";

export type Path = readonly (string | number)[];
export type Environment = Readonly<Record<string, string | undefined>>;

/** A config is small; more nodes than this is a mistake, or aliases that multiply. */
const NODES_MAX = 20_000;

const VARIABLE = /\$(\$\{)|\$\{([^}:]*)(?::([^}]*))?\}/g;
const BARE_VARIABLE = /^\$\{[^}]*\}$/;
const VARIABLE_NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

export interface Source {
  /** Maps, lists and scalars; maps have no prototype. */
  readonly data: unknown;
  readonly problems: ConfigProblem[];
  /** Whether the text at `path` came, whole or in part, from the environment. */
  fromEnvironment(path: Path): boolean;
  /** Paths of unquoted texts that are one variable and nothing else, such as `limit: ${LIMIT}`. */
  readonly bareVariables: readonly Path[];
  /** Whether a problem is known at `path` already, so that no second one is reported there. */
  isBroken(path: Path): boolean;
  /** Line and column, from 1, of the value at `path`, or of the nearest that stands in the file. */
  place(path: Path): { readonly line: number; readonly column: number };
  /** The same of the key at `path`. */
  keyPlace(path: Path): { readonly line: number; readonly column: number };
}

/** Reads `text`. Never throws for what is in it: problems are listed. Without an `env`, `${…}` is text like any other. */
export function readSource(text: string, env: Environment | undefined): Source {
  const lines = new LineCounter();
  const doc = parseDocument(text, { version: "1.2", lineCounter: lines, prettyErrors: false });
  const walk = new Walk(doc, lines, env);
  for (const error of [...doc.errors, ...doc.warnings]) {
    const { line, col } = lines.linePos(error.pos[0]);
    // One slip makes the parser stumble several times over the rest of its line.
    if (walk.problems.some((known) => known.line === line)) continue;
    const around = text.split("\n")[line - 1] ?? "";
    walk.problems.push({
      code: "CONFIG_SYNTAX",
      path: [],
      message: lowerFirst(error.message),
      remedy: around.includes("${")
        ? "Put quotes around the text with ${…}: in {…} and […] YAML reads the braces as its own."
        : undefined,
      line,
      column: col,
    });
  }
  // What follows a syntax error is guesswork: its problems would not be the file's.
  const data = walk.problems.length === 0 ? walk.value(doc.contents, []) : undefined;
  return {
    data: data ?? Object.create(null),
    problems: walk.problems,
    fromEnvironment: (path) => walk.substituted.has(keyOf(path)),
    bareVariables: walk.bareVariables,
    isBroken: (path) => walk.broken.has(keyOf(path)),
    place: (path) => walk.place(path, walk.values),
    keyPlace: (path) => walk.place(path, walk.keys),
  };
}

class Walk {
  readonly problems: ConfigProblem[] = [];
  readonly values = new Map<string, number>();
  readonly keys = new Map<string, number>();
  readonly substituted = new Set<string>();
  readonly broken = new Set<string>();
  readonly bareVariables: Path[] = [];
  #nodes = 0;
  readonly #doc: Document;
  readonly #lines: LineCounter;
  readonly #env: Environment | undefined;

  constructor(doc: Document, lines: LineCounter, env: Environment | undefined) {
    this.#doc = doc;
    this.#lines = lines;
    this.#env = env;
  }

  place(path: Path, offsets: ReadonlyMap<string, number>): { line: number; column: number } {
    const first = offsets.get(keyOf(path));
    let offset = first ?? 0;
    for (let length = path.length; first === undefined && length > 0; length--) {
      const key = keyOf(path.slice(0, length));
      const found = this.keys.get(key) ?? this.values.get(key);
      if (found === undefined) continue;
      offset = found;
      break;
    }
    const { line, col } = this.#lines.linePos(offset);
    return { line: Math.max(1, line), column: Math.max(1, col) };
  }

  value(node: Node | null, path: Path): unknown {
    const offset = node?.range?.[0];
    if (offset !== undefined && !this.values.has(keyOf(path))) this.values.set(keyOf(path), offset);
    if (++this.#nodes > NODES_MAX) {
      if (this.#nodes === NODES_MAX + 1)
        this.#report(
          path,
          `has more than ${NODES_MAX} values, aliases counted each time: that is the most that a config may have`,
        );
      return undefined;
    }
    if (isAlias(node)) {
      const target = node.resolve(this.#doc);
      // An alias inside its own anchor would never end.
      if (target !== undefined && path.length < 64) return this.value(target, path);
      this.#report(path, `the alias *${node.source} leads nowhere`);
      return undefined;
    }
    if (isMap(node)) return this.#map(node.items, path);
    if (isSeq(node)) return node.items.map((item, index) => this.value(item as Node | null, [...path, index]));
    if (isScalar(node)) {
      if (typeof node.value !== "string") return node.value;
      if (node.type === "PLAIN" && BARE_VARIABLE.test(node.value)) this.bareVariables.push(path);
      return this.#text(node.value, path);
    }
    return null;
  }

  #map(pairs: readonly { key: unknown; value: unknown }[], path: Path): Record<string, unknown> {
    const map = Object.create(null) as Record<string, unknown>;
    for (const { key, value } of pairs) {
      if (!isScalar(key)) {
        this.#report(path, "a key must be plain text");
        continue;
      }
      const name = String(key.value);
      const below = [...path, name];
      if (key.range) this.keys.set(keyOf(below), key.range[0]);
      if (name === "__proto__") this.#report(below, "a setting cannot be named __proto__", "CONFIG_UNKNOWN");
      else map[name] = this.value(value as Node | null, below);
    }
    return map;
  }

  /** `${NAME}`, `${NAME:default}`; `$${` stands for `${` itself. A variable that is set but empty counts as set. */
  #text(text: string, path: Path): string {
    const env = this.#env;
    if (env === undefined || !text.includes("${")) return text;
    return text.replaceAll(VARIABLE, (whole: string, escaped?: string, name = "", fallback?: string): string => {
      if (escaped !== undefined) return escaped;
      this.substituted.add(keyOf(path));
      if (!VARIABLE_NAME.test(name)) {
        const remedy =
          "Write ${NAME} or ${NAME:default}, with letters, digits and _ in the name; $${ stands for ${ itself.";
        this.#report(path, `${whole} names no variable`, "CONFIG_VARIABLE", remedy);
        return "";
      }
      const found = env[name] ?? fallback;
      if (found !== undefined) return found;
      const remedy = `Set ${name} in the gateway's environment, or give a default: \${${name}:default}.`;
      this.#report(path, `the environment has no ${name}`, "CONFIG_VARIABLE", remedy);
      return "";
    });
  }

  #report(
    path: Path,
    message: string,
    code: "CONFIG_SYNTAX" | "CONFIG_VARIABLE" | "CONFIG_UNKNOWN" = "CONFIG_SYNTAX",
    remedy?: string,
  ): void {
    this.broken.add(keyOf(path));
    this.problems.push({ code, path, message, remedy, ...this.place(path, this.values) });
  }
}

function keyOf(path: Path): string {
  return JSON.stringify(path);
}

function lowerFirst(text: string): string {
  return text.slice(0, 1).toLowerCase() + text.slice(1);
}
