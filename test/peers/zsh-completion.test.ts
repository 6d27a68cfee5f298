/** Completion, asked of zsh itself. */
import { execFileSync } from "node:child_process";
import { afterAll, beforeAll, describe } from "vitest";
import { fill, offersWhatItShould } from "../cli/offered.ts";
import { sluice } from "../cli/sluice.ts";
import { Home } from "../harness/folder.ts";
import { needTools } from "./rig/tools.ts";

const home = new Home();
afterAll(() => home[Symbol.dispose]());

describe("completion in zsh", () => {
  let script = "";
  beforeAll(async () => {
    needTools("zsh");
    fill(home);
    const { out } = await sluice(["completion", "zsh"]);
    script = home.write("_sluice", out);
  });

  /**
   * What zsh offers for the last word. What draws lists on a terminal stands aside: the function is called as compinit would
   * have it called, and what it hands to `_describe` and `_files` is printed, as far as it fits the word.
   */
  function offered(...words: string[]): string[] {
    const ask = `
      _describe() { local -a all; all=("\${(@P)\${@[-1]}}"); print -rl -- "\${(@)all%%:*}" }
      _files() { print -rl -- "$PREFIX"*(N) }
      compdef() { }
      compadd() { if [[ $1 == -a ]]; then print -rl -- "\${(@P)2}"; else print -rl -- "$@"; fi }
      words=("\${@[2,-1]}"); CURRENT=$#words; PREFIX="\${words[-1]}"
      source "$1"
      if [[ "\${words[1]}" == npx ]]; then _sluice_npx; else _sluice; fi`;
    const out = execFileSync("zsh", ["-f", "-c", ask, "zsh", script, ...words], { cwd: home.root });
    const last = words.at(-1) ?? "";
    return out
      .toString()
      .split("\n")
      .filter((line) => line !== "" && line.startsWith(last));
  }

  offersWhatItShould(offered);
});
