/** Completion scripts. What they know is in them: a shell that asked Sluice at every tab would wait for Node to start. */
import type { Completed } from "./completion.ts";

/** Names of handlers: files and folders in `handlers`, without what is none. */
const HANDLERS = `ls handlers 2>/dev/null | sed -nE '/\\.(test|cases|d)\\./d; s/\\.(ts|js|mjs)$//p; /^[a-z0-9_-]+$/p' | sort -u`;

export function bashScript(root: Completed): string {
  const cases = flat(root).map(({ path, command }) => {
    const words = [...command.commands.map(({ name }) => name), ...command.choices].join(" ");
    const options = command.options.map(({ flag }) => flag).join(" ");
    return `    ${quoted(path)}) words=${quoted(words)}; options=${quoted(options)}; kind=${quoted(command.argument ?? "")};;`;
  });
  const chosen = withChoices(root).map(
    ({ option, choices }) => `    ${quoted(option)}) COMPREPLY=($(compgen -W ${quoted(choices)} -- "$word")); return;;`,
  );
  return `# Completion for sluice in bash. Made by \`sluice completion bash\`.
_sluice() {
  local word="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[COMP_CWORD-1]}" path="" words="" options="" kind="" i
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
${chosen.join("\n")}
    ${pattern(withValues(root, "file"))}) words=""; options=""; kind=file;;
    ${pattern(withValues(root, "handler"))}) words=""; options=""; kind=handler;;
    ${pattern(withValues(root, "text"))}) return;;
  esac
  if [[ "$word" == -* ]]; then COMPREPLY=($(compgen -W "$options" -- "$word")); return; fi
  if [[ "$kind" == handler* ]]; then words+=" $(${HANDLERS} | tr '\\n' ' ')"; fi
  if [[ "$kind" == *file ]]; then compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- "$word")); fi
  COMPREPLY+=($(compgen -W "$words" -- "$word"))
}
complete -F _sluice sluice
# As a package's command, \`npx sluice …\`; where npx is completed by something else, that stays.
_sluice_npx() {
  if [[ "\${COMP_WORDS[1]}" == sluice && "$COMP_CWORD" -gt 1 ]]; then
    COMP_WORDS=("\${COMP_WORDS[@]:1}"); ((COMP_CWORD--)); _sluice
  else
    COMPREPLY=($(compgen -W sluice -- "\${COMP_WORDS[COMP_CWORD]}"))
  fi
}
complete -p npx >/dev/null 2>&1 || complete -o default -F _sluice_npx npx
`;
}

export function zshScript(root: Completed): string {
  const cases = flat(root).map(({ path, command }) => {
    const choices = [
      ...command.commands.map(({ name, summary }) => quoted(`${escaped(name)}:${summary}`)),
      ...command.choices.map((word) => quoted(escaped(word))),
    ].join(" ");
    const options = command.options.map(({ flag, about }) => quoted(`${escaped(flag)}:${about}`)).join(" ");
    return `    ${quoted(path)}) choices=(${choices}); options=(${options}); kind=${quoted(command.argument ?? "")};;`;
  });
  const chosen = withChoices(root).map(
    ({ option, choices }) => `    ${quoted(option)}) choices=(${choices}); options=(); kind="";;`,
  );
  return `#compdef sluice
# Completion for sluice in zsh. Made by \`sluice completion zsh\`.
_sluice() {
  local path_="" kind="" i
  local -a choices options handlers
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
${chosen.join("\n")}
    ${pattern(withValues(root, "file"))}) _files; return;;
    ${pattern(withValues(root, "handler"))}) choices=(); options=(); kind=handler;;
    ${pattern(withValues(root, "text"))}) return;;
  esac
  if [[ "$word" == -* ]]; then _describe sluice options; return; fi
  if [[ "$kind" == handler* ]]; then handlers=(\${(f)"$(${HANDLERS})"}); compadd -a handlers; fi
  if [[ "$kind" == *file ]]; then _files; fi
  if (( \${#choices} )); then _describe sluice choices; fi
}
# As a package's command, \`npx sluice …\`; where npx is completed by something else, that stays.
_sluice_npx() {
  if [[ "\${words[2]}" == sluice ]] && (( CURRENT > 2 )); then
    shift words; (( CURRENT-- )); _sluice
  else
    compadd sluice; _files
  fi
}
# Loaded from fpath it is called for a completion; sourced it makes itself known.
if [[ "\${funcstack[1]}" == _sluice ]]; then
  _sluice "$@"
else
  (( \${+functions[compdef]} )) || { autoload -Uz compinit && compinit; }
  compdef _sluice sluice
  (( \${+_comps[npx]} )) || compdef _sluice_npx npx
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
    for (const { flag, about, takes, choices } of command.options) {
      const letter = flag.startsWith("--") ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`;
      const words = takes === "handler" ? `(${HANDLERS})` : choices.join(" ");
      const value =
        takes === "nothing" ? "" : takes === "file" ? " -r -F" : words === "" ? " -x" : ` -x -a ${quoted(words)}`;
      lines.push(`complete -c sluice${condition} ${letter}${value} -d ${quoted(about)}`);
    }
    for (const word of command.choices) lines.push(`complete -c sluice${condition} -a ${quoted(word)}`);
    if (command.argument?.startsWith("handler") === true)
      lines.push(`complete -c sluice${condition} -a ${quoted(`(${HANDLERS})`)}`);
    if (command.argument?.endsWith("file") === true) lines.push(`complete -c sluice${condition} -F`);
  }
  // As a package's command: what follows is completed as after `sluice`.
  const after = `test (count (commandline -opc)) -gt 1; and test (commandline -opc)[2] = sluice`;
  lines.push(
    `complete -c npx -n ${quoted(after)} -f -a ${quoted(`(complete -C (string replace -r '^\\S+\\s+' '' -- (commandline -cp)))`)}`,
  );
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
function withValues(root: Completed, takes: "file" | "handler" | "text"): string[] {
  return flat(root).flatMap(({ path, command }) =>
    command.options
      .filter((option) => option.takes === takes && option.choices.length === 0)
      .map(({ flag }) => `${path} ${flag}`),
  );
}

/** "tail --status" and "error retry", for each option whose value is one of some words. */
function withChoices(root: Completed): { readonly option: string; readonly choices: string }[] {
  return flat(root).flatMap(({ path, command }) =>
    command.options
      .filter(({ choices }) => choices.length > 0)
      .map(({ flag, choices }) => ({ option: `${path} ${flag}`, choices: choices.join(" ") })),
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
