import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Fault } from "../../src/fault.ts";
import { matchTopic, parseTopicFilter } from "../../src/topic.ts";
import { TopicTrigger } from "../../src/triggers/topic.ts";
import { triggerContract } from "../contracts/trigger.ts";

triggerContract("topic", {
  make: () => new TopicTrigger(),
  asks: { topics: ["plant/+/temperature", "plant/{line}/#", "plant/1/temperature"], key: undefined },
  covered: "plant/1/temperature",
  elsewhere: "farm/1/temperature",
  refused: { topics: ["plant/#/temperature"], key: undefined },
});

const level = fc.constantFrom("a", "b", "c", "", "é", "$x");
const topic = fc.array(level, { minLength: 1, maxLength: 5 }).map((levels) => levels.join("/"));
const filter = fc
  .tuple(fc.array(fc.constantFrom("a", "b", "c", "", "+", "{n}"), { minLength: 1, maxLength: 5 }), fc.boolean())
  .map(([levels, rest]) => {
    const once = levels.map((text, index) => (text === "{n}" ? `{n${index}}` : text));
    return [...once, ...(rest ? ["#"] : [])].join("/");
  });

describe("topic matching", () => {
  it("the trie and the rule of MQTT 4.7 agree on every topic and filter", () => {
    fc.assert(
      fc.property(topic, filter, (name, text) => {
        fc.pre(name !== "" && text !== "");
        const trigger = new TopicTrigger();
        trigger.bind(1, { topics: [text], key: undefined });
        const byRule = matchTopic(parseTopicFilter(text), name) !== undefined;
        expect(trigger.match(name)).toEqual(byRule ? [1] : []);
      }),
      { numRuns: 2000 },
    );
  });

  it("# also matches its parent level", () => {
    expect(matchTopic(parseTopicFilter("plant/{line}/#"), "plant/7")).toEqual({ line: "7" });
  });

  it("wildcards at the first level do not match $ topics [MQTT-4.7.2-1]", () => {
    const trigger = new TopicTrigger();
    trigger.bind(1, { topics: ["#"], key: undefined });
    trigger.bind(2, { topics: ["+/a"], key: undefined });
    trigger.bind(3, { topics: ["$x/a"], key: undefined });
    expect(trigger.match("$x/a")).toEqual([3]);
  });

  it.each([
    ["", "empty"],
    ["a/#/b", "last level"],
    ["a/b#", "mixes a wildcard"],
    ["a/{b}c", "fills its level"],
    ["{a}/{a}", "twice"],
    ["a\0b", "U+0000"],
  ])("parseTopicFilter(%j) is refused and says why", (text, why) => {
    expect(() => parseTopicFilter(text)).toThrow(Fault);
    expect(() => parseTopicFilter(text)).toThrow(why);
  });
});

describe("keys", () => {
  const keyOf = (topics: string[], key: string | undefined): ((topic: string, device: string) => string) => {
    const made = new TopicTrigger().bind(1, { topics, key });
    if (made === undefined) throw new Error("no key");
    return made;
  };

  it("are the topic by default", () => {
    expect(keyOf(["a/+"], undefined)("a/b", "d")).toBe("a/b");
  });

  it("take named levels, the device and the topic", () => {
    expect(keyOf(["plant/{line}/{machine}"], "{line}-{machine}")("plant/1/press", "d")).toBe("1-press");
    expect(keyOf(["plant/{line}/{machine}"], "{device}/{machine}")("plant/1/press", "d")).toBe("d/press");
    expect(keyOf(["a"], "{device}")("a", "d")).toBe("d");
    expect(keyOf(["a"], "all")("a", "d")).toBe("all");
  });

  it("take the levels of the first filter that matches", () => {
    expect(keyOf(["x/{m}/1", "y/{m}"], "{m}")("y/press", "d")).toBe("press");
  });

  it("that name a level which a filter lacks are refused, naming the filter", () => {
    expect(() => keyOf(["a/{m}", "b/+"], "{m}")).toThrow('topic filter "b/+" has no level {m}');
  });
});
