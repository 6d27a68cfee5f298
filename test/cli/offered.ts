/** What shells are asked to complete, and what they have to offer. */
import { expect, it } from "vitest";
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
const OFFERED_AMONG: Offered = [
  [
    ["invoke", ""],
    ["average", "folder", "overheat", "package.json"],
  ],
];

/** Words, and all that is offered for the last one. */
const OFFERED: Offered = [
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

/** The contract of a shell: `offered` says what it offers for the last of the words. */
export function offersWhatItShould(offered: (...words: string[]) => string[]): void {
  it.each(OFFERED)("of %j offers %j", (words, expected) => {
    expect(offered("sluice", ...words).toSorted()).toEqual(expected.toSorted());
  });

  it.each(OFFERED_AMONG)("of %j offers %j, and more", (words, expected) => {
    expect(offered("sluice", ...words)).toEqual(expect.arrayContaining(expected));
  });

  it("follows npx sluice as well", () => {
    expect(offered("npx", "sluice", "dead", "re")).toEqual(["redrive"]);
    expect(offered("npx", "slu")).toEqual(["sluice"]);
  });
}
