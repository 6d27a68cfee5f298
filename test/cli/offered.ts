/** What shells are asked to complete, and what they have to offer. */
import type { Home } from "../harness/folder.ts";

/** Files that stand for what a user has. */
export function fill(home: Home): void {
  home.write("handlers/overheat.ts", "");
  home.write("handlers/overheat.cases.yaml", "");
  home.write("handlers/average.js", "");
  home.write("handlers/folder/index.ts", "");
  home.write("package.json", "{}");
}

/** Words, and what is offered for the last one. */
export const OFFERED: readonly (readonly [words: string[], expected: string[]])[] = [
  [["te"], ["test"]],
  [["dead", "re"], ["redrive"]],
  [["test", "--js"], ["--json"]],
  [["dead", "ls", "--js"], ["--json"]],
  [["test", "o"], ["overheat"]],
  [
    ["invoke", ""],
    ["average", "folder", "overheat"],
  ],
  [["run", "--config", "pack"], ["package.json"]],
  [["pub", "-t", ""], []],
  [["completion", "z"], ["zsh"]],
  [["help", "wri"], ["writing"]],
  [["nonsense", "te"], ["test"]],
];
