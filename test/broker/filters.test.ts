import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Filters, matches } from "#src/broker/filters.ts";
import { Topics } from "#src/broker/topics.ts";

const level = fc.constantFrom("a", "b", "", "$x");
const topic = fc.array(level, { minLength: 1, maxLength: 4 }).map((levels) => levels.join("/"));
const filter = fc
  .tuple(fc.array(fc.oneof(level, fc.constant("+")), { minLength: 1, maxLength: 4 }), fc.boolean())
  .map(([levels, rest]) => [...levels, ...(rest ? ["#"] : [])].join("/"));

/** MQTT's rules, as a regular expression. */
function byTheBook(pattern: string, name: string): boolean {
  if (name.startsWith("$") && /^[+#]/.test(pattern)) return false;
  const source = pattern
    .split("/")
    .map((part) => (part === "+" ? "[^/]*" : part === "#" ? "#" : part.replace("$", "\\$")))
    .join("/");
  return new RegExp(`^${source.replace(/\/#$/, "(/.*)?").replace(/^#$/, ".*")}$`).test(name);
}

describe("matching", () => {
  it.each([
    ["a/#", "a", true],
    ["a/#", "a/b/c", true],
    ["+/+", "/a", true],
    ["/+", "/a", true],
    ["+", "/a", false],
    ["#", "$SYS/x", false],
    ["+/x", "$SYS/x", false],
    ["$SYS/#", "$SYS/x", true],
    ["a/+", "a", false],
    ["a/+", "a/", true],
  ])("%s and %s: %s", (pattern, name, expected) => {
    expect(matches(pattern, name)).toBe(expected);
    expect(byTheBook(pattern, name)).toBe(expected);
  });

  it("matches() and the tree agree with the book", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.constantFrom("d1", "d2", "d3"), filter, fc.nat(2)), { maxLength: 12 }),
        fc.array(topic, { maxLength: 8 }),
        (subscriptions, names) => {
          const filters = new Filters();
          const kept = new Map<string, Map<string, number>>();
          for (const [device, pattern, qos] of subscriptions) {
            filters.add(device, pattern, qos);
            kept.set(device, (kept.get(device) ?? new Map<string, number>()).set(pattern, qos));
          }
          for (const name of names) {
            const expected = new Map<string, number>();
            for (const [device, own] of kept) {
              for (const [pattern, qos] of own) {
                expect(matches(pattern, name)).toBe(byTheBook(pattern, name));
                if (byTheBook(pattern, name)) expected.set(device, Math.max(qos, expected.get(device) ?? 0));
              }
            }
            expect(filters.subscribers(name)).toEqual(expected);
            expect(filters.audience(name) > 0).toBe(expected.size > 0);
          }
        },
      ),
    );
  });

  it("what is removed is gone, and nothing else", () => {
    fc.assert(
      fc.property(fc.array(filter, { minLength: 1, maxLength: 10 }), fc.nat(), (patterns, at) => {
        const filters = new Filters();
        for (const pattern of patterns) filters.add("d", pattern, 0);
        const gone = patterns[at % patterns.length] as string;
        filters.remove("d", gone);
        expect([...filters.of("d").keys()].toSorted()).toEqual(
          [...new Set(patterns)].filter((one) => one !== gone).toSorted(),
        );
        filters.removeAll("d");
        expect(filters.count).toBe(0);
        expect(patterns.some((one) => filters.audience(one.replaceAll("+", "a").replaceAll("#", "b")) > 0)).toBe(false);
      }),
    );
  });
});

it("a topic's answer is found anew when subscriptions change", () => {
  const filters = new Filters();
  const topics = new Topics(filters);
  const bytes = Buffer.from("a/b");
  expect(topics.audience(topics.read(bytes, 0, 3))).toBe(0);
  filters.add("d", "a/+", 0);
  expect(topics.audience(topics.read(bytes, 0, 3))).toBe(1);
  filters.remove("d", "a/+");
  expect(topics.audience(topics.read(bytes, 0, 3))).toBe(0);
});

it("the topics that are remembered are bounded, and right all the same", () => {
  const topics = new Topics(new Filters());
  for (let i = 0; i < 40_000; i++) {
    const bytes = Buffer.from(`é/${i}`);
    expect(topics.read(bytes, 0, bytes.length).text).toBe(`é/${i}`);
  }
});
