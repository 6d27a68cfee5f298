import { describe, expect, it } from "vitest";
import { checkFilter, checkTopic } from "../../src/cli/device-topics.ts";
import { exitOf } from "../../src/cli/exit.ts";
import { Fault } from "../../src/fault.ts";
import { sluice } from "./sluice.ts";

/** Exit code and message of what `check` says to `text`. */
function said(check: (text: string) => void, text: string): [number, string] {
  try {
    check(text);
  } catch (thrown) {
    if (thrown instanceof Fault) return [exitOf(thrown.code), thrown.message];
    throw thrown;
  }
  return [0, ""];
}

describe("the topic of pub", () => {
  it.each([
    ["a/b", 0, ""],
    ["a//{b}", 0, ""],
    ["", 2, "it is empty"],
    ["a/#", 2, "+ and # are for filters"],
    ["+", 2, "+ and # are for filters"],
    ["a\0", 2, "U+0000"],
    ["a".repeat(65_536), 2, "longer than 65,535 bytes"],
    ["$SYS/x", 5, "belong to the broker"],
  ])("%j leads to exit status %i", (topic, code, why) => {
    expect(said(checkTopic, topic)).toEqual([code, expect.stringContaining(why)]);
  });
});

describe("the filter of sub", () => {
  it.each([
    ["#", 0, ""],
    ["+/a/{b}/#", 0, ""],
    ["", 2, "it is empty"],
    ["a/#/b", 2, "# may only be the last level"],
    ["a/b#", 2, 'level "b#" mixes'],
    ["a+/b", 2, 'level "a+" mixes'],
    ["$SYS/#", 5, "the gateway publishes nothing there"],
    ["$share/g/a", 5, "no shared subscriptions"],
  ])("%j leads to exit status %i", (filter, code, why) => {
    expect(said(checkFilter, filter)).toEqual([code, expect.stringContaining(why)]);
  });
});

it("pub and sub say so before they connect", async () => {
  const nowhere = ["-h", "127.0.0.1", "-p", "1"];
  expect((await sluice(["pub", ...nowhere, "-t", "", "-m", "x"])).code).toBe(2);
  expect((await sluice(["sub", ...nowhere, "-t", "a", "-t", "$SYS/#"])).code).toBe(5);
}, 60_000);
