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

type Offered = readonly (readonly [words: string[], expected: string[]])[];

/** Words, and some of what is offered for the last one. */
export const OFFERED_AMONG: Offered = [
  [
    ["invoke", ""],
    ["average", "folder", "overheat", "package.json"],
  ],
];

/** Words, and all that is offered for the last one. */
export const OFFERED: Offered = [
  [["te"], ["test"]],
  [["dead", "re"], ["redrive"]],
  [["test", "--js"], ["--json"]],
  [["dead", "ls", "--js"], ["--json"]],
  [["test", "o"], ["overheat"]],
  [
    ["versions", ""],
    ["average", "folder", "overheat"],
  ],
  [["state", "get", "o"], ["overheat"]],
  [["handlers", "rm", "av"], ["average"]],
  [["dead", "redrive", "--handler", "o"], ["overheat"]],
  [
    ["tail", "--status", ""],
    ["error", "retry", "dead", "done"],
  ],
  [
    ["dead", ""],
    ["ls", "show", "redrive", "drop", "help"],
  ],
  [["run", "--config", "pack"], ["package.json"]],
  [["pub", "-t", ""], []],
  [["completion", "z"], ["zsh"]],
  [["help", "wri"], ["writing"]],
  [["nonsense", "te"], ["test"]],
];
