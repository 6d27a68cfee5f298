/** Completion, asked of bash itself (of zsh: test/peers/zsh-completion.test.ts); and the help that teaches. */
import { execFileSync } from "node:child_process";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Home } from "../harness/folder.ts";
import { fill, offersWhatItShould } from "./offered.ts";
import { sluice } from "./sluice.ts";

const home = new Home();
beforeAll(() => fill(home));
afterAll(() => home[Symbol.dispose]());

describe("completion in bash", () => {
  let script = "";
  beforeAll(async () => {
    const { out } = await sluice(["completion", "bash"]);
    script = home.write("completion.bash", out);
  });

  /** What bash offers for the last word, as `complete -F` has it called. */
  function offered(...words: string[]): string[] {
    const ask = `source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); "$(complete -p "$1" | sed -E 's/.*-F ([^ ]+).*/\\1/')"; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const out = execFileSync("bash", ["--norc", "-c", ask, script, ...words], { cwd: home.root });
    return out
      .toString()
      .split("\n")
      .filter((line) => line !== "");
  }

  offersWhatItShould(offered);
});
describe("completion in zsh and fish", () => {
  it.each(["zsh", "fish"])("%s has every command, and every option with what it is for", async (shell) => {
    const { code, out } = await sluice(["completion", shell]);
    expect(code).toBe(0);
    for (const text of ["redrive", "write the results as JUnit", "simulate", "ls handlers"])
      expect(out).toContain(text);
  });

  it("others are refused with 2", async () => {
    const { code, err } = await sluice(["completion", "csh"]);
    expect(code).toBe(2);
    expect(err).toContain("Allowed choices are bash, zsh, fish");
  });
});

describe("sluice help", () => {
  it("groups the commands by what they are for, and names its guides", async () => {
    const { out } = await sluice(["help"]);
    for (const heading of ["Run it:", "Write handlers:", "Watch it:", "Repair it:"])
      expect(out).toContain(`\n${heading}\n`);
    expect(out).toContain("sluice help writing     Write handlers");
  });

  it("says of a name that is none which it may have been, and ends with 2", async () => {
    const { code, err } = await sluice(["help", "deplo"]);
    expect(code).toBe(2);
    expect(err).toBe(
      'error: there is no command and no guide "deplo"\n  → Did you mean `sluice help deploy`? [CLI_USAGE]\n',
    );
    const usage = await sluice(["pub", "-t", "a/#", "-m", "x"]);
    expect(usage.err).toContain("→ `sluice help pub` shows what it takes, with examples. [CLI_USAGE]");
  });

  it("teaches each of them with commands that exist", async () => {
    const commands = [...(await sluice(["help"])).out.matchAll(/^ {2}([a-z]+) /gm)].map(([, name]) => name);
    for (const guide of ["starting", "writing", "watching", "repairing"]) {
      const { code, out } = await sluice(["help", guide]);
      expect(code).toBe(0);
      const used = [...out.matchAll(/^ {2}(?:.*[|&] )?sluice ([a-z]+)/gm)].map(([, name]) => name);
      expect(used.length).toBeGreaterThan(2);
      for (const name of used) expect(commands, `${guide}: sluice ${name}`).toContain(name);
    }
  });
});
