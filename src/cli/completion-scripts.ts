/** Completion scripts. What they know is in them: a shell that asked Sluice at every tab would wait for Node to start. */
import type { Completed } from "./completion.ts";

/** Names of handlers: files and folders in `handlers`, without what is none. */
const HANDLERS = `ls handlers 2>/dev/null | sed -nE '/\\.(test|cases|d)\\./d; s/\\.(ts|js|mjs)$//p; /^[a-z0-9_-]+$/p' | sort -u`;

export function bashScript(root: Completed): string {
  const cases = flat(root).map(({ path, command }) => {
    const words = [
      ...command.commands.map(({ name }) => name),
      ...command.choices,
      ...command.options.map(({ flag }) => flag),
    ];
    return `    ${quoted(path)}) words=${quoted(words.join(" "))}; kind=${quoted(command.argument ?? "")};;`;
  });
  const files = withValues(root, "file");
  const texts = withValues(root, "text");
  return `# Completion for sluice in bash. Made by \`sluice completion bash\`.
_sluice() {
  local word="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[COMP_CWORD-1]}" path="" words="" kind="" i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$path \${COMP_WORDS[i]}" in
${flat(root)
  .filter(({ path }) => path !== "")
  .map(({ path }) => `      ${quoted(` ${path}`)}) path=${quoted(` ${path}`)};;`)
  .join("\n")}
    esac
  done
  path="\${path# }"
  case "$path" in
${cases.join("\n")}
  esac
  case "$path $before" in
    ${pattern(files)}) compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- "$word")); return;;
    ${pattern(texts)}) return;;
  esac
  if [[ "$word" != -* && "$kind" == handler ]]; then words+=" $(${HANDLERS} | tr '\\n' ' ')"; fi
  if [[ "$word" != -* && "$kind" != "" ]]; then compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- "$word")); fi
  COMPREPLY+=($(compgen -W "$words" -- "$word"))
}
complete -F _sluice sluice
`;
}

export function zshScript(root: Completed): string {
  const cases = flat(root).map(({ path, command }) => {
    const choices = [
      ...command.commands.map(({ name, summary }) => quoted(`${escaped(name)}:${summary}`)),
      ...command.choices.map((word) => quoted(escaped(word))),
      ...command.options.map(({ flag, about }) => quoted(`${escaped(flag)}:${about}`)),
    ];
    return `    ${quoted(path)}) choices=(${choices.join(" ")}); kind=${quoted(command.argument ?? "")};;`;
  });
  return `#compdef sluice
# Completion for sluice in zsh. Made by \`sluice completion zsh\`.
_sluice() {
  local path_="" kind="" i
  local -a choices handlers
  local before="\${words[CURRENT-1]}" word="\${words[CURRENT]}"
  for ((i = 2; i < CURRENT; i++)); do
    case "$path_ \${words[i]}" in
${flat(root)
  .filter(({ path }) => path !== "")
  .map(({ path }) => `      ${quoted(` ${path}`)}) path_=${quoted(` ${path}`)};;`)
  .join("\n")}
    esac
  done
  path_="\${path_# }"
  case "$path_" in
${cases.join("\n")}
  esac
  case "$path_ $before" in
    ${pattern(withValues(root, "file"))}) _files; return;;
    ${pattern(withValues(root, "text"))}) return;;
  esac
  if [[ "$word" != -* && "$kind" == handler ]]; then handlers=(\${(f)"$(${HANDLERS})"}); compadd -a handlers; fi
  if [[ "$word" != -* && "$kind" != "" ]]; then _files; fi
  _describe sluice choices
}
# Loaded from fpath it is called for a completion; sourced it makes itself known.
if [[ "\${funcstack[1]}" == _sluice ]]; then
  _sluice "$@"
else
  (( \${+functions[compdef]} )) || { autoload -Uz compinit && compinit; }
  compdef _sluice sluice
fi
`;
}

export function fishScript(root: Completed): string {
  const lines = ["# Completion for sluice in fish. Made by `sluice completion fish`.", "complete -c sluice -f"];
  for (const { path, command } of flat(root)) {
    const names = path === "" ? [] : path.split(" ");
    const seen = names.map((name) => `__fish_seen_subcommand_from ${name}`).join("; and ");
    const below = command.commands.map(({ name }) => name).join(" ");
    const none = below === "" ? "" : `not __fish_seen_subcommand_from ${below}`;
    const when = [seen, none].filter((part) => part !== "").join("; and ");
    const condition = when === "" ? "" : ` -n ${quoted(when)}`;
    for (const { name, summary } of command.commands) {
      lines.push(`complete -c sluice${condition} -a ${quoted(name)} -d ${quoted(summary)}`);
    }
    for (const { flag, about, takes } of command.options) {
      const letter = flag.startsWith("--") ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`;
      const value = takes === "nothing" ? "" : takes === "file" ? " -r -F" : " -x";
      lines.push(`complete -c sluice${condition} ${letter}${value} -d ${quoted(about)}`);
    }
    for (const word of command.choices) lines.push(`complete -c sluice${condition} -a ${quoted(word)}`);
    if (command.argument === "handler") lines.push(`complete -c sluice${condition} -F -a ${quoted(`(${HANDLERS})`)}`);
    if (command.argument === "file") lines.push(`complete -c sluice${condition} -F`);
  }
  return `${lines.join("\n")}\n`;
}

interface Placed {
  /** "dead ls"; "" is the whole. */
  readonly path: string;
  readonly command: Completed;
}

function flat(command: Completed, above = "", depth = 0): Placed[] {
  const path = depth === 0 ? "" : `${above} ${command.name}`.trim();
  return [{ path, command }, ...command.commands.flatMap((below) => flat(below, path, depth + 1))];
}

/** "test --junit" for each option that takes such a value. */
function withValues(root: Completed, takes: "file" | "text"): string[] {
  return flat(root).flatMap(({ path, command }) =>
    command.options.filter((option) => option.takes === takes).map(({ flag }) => `${path} ${flag}`),
  );
}

/** Of a case; one that nothing is, when there are none. */
function pattern(words: readonly string[]): string {
  return words.length === 0 ? "''" : words.map(quoted).join("|");
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** In _describe a colon ends the word. */
function escaped(text: string): string {
  return text.replaceAll(":", "\\:");
}
