import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { beforeAll, describe, expect, it } from "vitest";
import { bare } from "./bare.ts";
import type { Bare } from "./bare.ts";

let web: Bare;
beforeAll(async () => {
  web = await bare(["events"]);
});

const TARGETS: Record<string, string> = {
  "calls listeners in order, once each, until they are removed": `
    const target = new EventTarget(), log = [];
    const first = () => log.push("first");
    target.addEventListener("a", first);
    target.addEventListener("a", first);
    target.addEventListener("a", first, true);
    target.addEventListener("a", () => log.push("once"), { once: true });
    target.addEventListener("b", () => log.push("b"));
    target.dispatchEvent(new Event("a"));
    target.removeEventListener("a", first);
    target.dispatchEvent(new Event("a"));
    target.removeEventListener("a", first, { capture: true });
    target.dispatchEvent(new Event("a"));
    return log`,
  "gives the listener the target, also as this": `
    const target = new EventTarget(); let seen;
    target.addEventListener("a", function (event) {
      seen = [this === target, event.target === target, event.currentTarget === target, event.eventPhase,
        event.composedPath().length, event.type, event.bubbles, event.cancelable, event.isTrusted];
    });
    const event = new Event("a");
    target.dispatchEvent(event);
    return [seen, event.target === target, event.currentTarget, event.eventPhase, event.composedPath().length]`,
  "calls objects with handleEvent()": `
    const target = new EventTarget(), log = [];
    const listener = { handleEvent(event) { log.push(this === listener, event.type); } };
    target.addEventListener("a", listener);
    target.dispatchEvent(new Event("a"));
    return log`,
  "lets a listener prevent the default, when the event can be": `
    const target = new EventTarget();
    target.addEventListener("a", (event) => event.preventDefault());
    const other = new EventTarget();
    other.addEventListener("a", (event) => event.preventDefault(), { passive: true });
    const can = new Event("a", { cancelable: true }), cannot = new Event("a");
    return [target.dispatchEvent(can), can.defaultPrevented, target.dispatchEvent(cannot), cannot.defaultPrevented,
      other.dispatchEvent(new Event("a", { cancelable: true }))]`,
  "stops at stopImmediatePropagation()": `
    const target = new EventTarget(), log = [];
    target.addEventListener("a", (event) => { log.push(1); event.stopImmediatePropagation(); });
    target.addEventListener("a", () => log.push(2));
    target.dispatchEvent(new Event("a"));
    return log`,
  "does not call what was added or removed while it dispatches": `
    const target = new EventTarget(), log = [];
    const last = () => log.push("last");
    target.addEventListener("a", () => {
      target.removeEventListener("a", last);
      target.addEventListener("a", () => log.push("added"), { once: true });
    }, { once: true });
    target.addEventListener("a", last);
    target.dispatchEvent(new Event("a"));
    log.push("|");
    target.dispatchEvent(new Event("a"));
    return log`,
  "removes a listener when its signal aborts": `
    const target = new EventTarget(), log = [], controller = new AbortController();
    target.addEventListener("a", () => log.push(1), { signal: controller.signal });
    target.addEventListener("a", () => log.push(2), { signal: AbortSignal.abort() });
    target.dispatchEvent(new Event("a"));
    controller.abort();
    target.dispatchEvent(new Event("a"));
    return log`,
  "refuses to dispatch an event that is being dispatched": `
    const target = new EventTarget(); let name;
    target.addEventListener("a", (event) => { try { target.dispatchEvent(event); } catch (error) { name = error.constructor.name; } });
    target.dispatchEvent(new Event("a"));
    return name !== undefined`,
  "refuses what is no event": `return new EventTarget().dispatchEvent({ type: "a" })`,
  "ignores a listener that is null": `return new EventTarget().addEventListener("a", null)`,
  "an event needs a type": `return new Event()`,
  "classes can be derived from it": `
    class Own extends EventTarget { heard = 0; constructor() { super(); this.addEventListener("a", () => this.heard++); } }
    class OwnEvent extends Event { constructor() { super("a"); this.detail = 5; } }
    const own = new Own();
    own.dispatchEvent(new OwnEvent());
    return [own.heard, new OwnEvent().detail, Object.prototype.toString.call(own), EventTarget.name]`,
};

describe("EventTarget", () => {
  it.each(Object.entries(TARGETS))("%s", async (_, body) => {
    await web.sameAsNode(body);
  });

  it("goes on with the other listeners when one throws, and tells the console", async () => {
    const own = await bare(
      ["events"],
      `globalThis.console = { said: [], error(thrown) { this.said.push(thrown.message); } }`,
    );
    expect(
      own.evaluate(`
        const target = new EventTarget();
        const log = [];
        target.addEventListener("a", () => { throw new Error("mine"); });
        target.addEventListener("a", () => log.push("other"));
        target.dispatchEvent(new Event("a"));
        [...log, ...console.said].join()`),
    ).toBe("other,mine");
  });

  it("counts the time of an event from 1970, as performance.now() does", () => {
    const time = web.evaluate(`new Event("a").timeStamp`) as number;
    expect(Math.abs(Date.now() - time)).toBeLessThan(60_000);
  });
});

const SIGNALS: Record<string, string> = {
  "aborts once, with the reason": `
    const controller = new AbortController(), { signal } = controller, log = [];
    signal.addEventListener("abort", (event) => log.push(event.type, event.target === signal));
    signal.onabort = function (event) { log.push("property", this === signal, event.type); };
    log.push(signal.aborted, signal.reason);
    controller.abort("why");
    controller.abort("again");
    return [log, signal.aborted, signal.reason, signal === controller.signal]`,
  "has an AbortError for a reason when none is given": `
    const controller = new AbortController();
    controller.abort();
    return [controller.signal.reason, AbortSignal.abort().reason, AbortSignal.abort(null).reason]`,
  "throws its reason": `const signal = AbortSignal.abort(new RangeError("mine")); signal.throwIfAborted()`,
  "throws a reason that is no error": `AbortSignal.abort(5).throwIfAborted()`,
  "does not throw before": `return new AbortController().signal.throwIfAborted()`,
  "cannot be made by hand": `new AbortSignal()`,
  "onabort takes functions, and null": `
    const { signal } = new AbortController(); const log = [signal.onabort];
    signal.onabort = () => {}; log.push(typeof signal.onabort);
    signal.onabort = null; log.push(signal.onabort);
    return log`,
  "any() aborts with the first, and is aborted when one already is": `
    const a = new AbortController(), b = new AbortController();
    const either = AbortSignal.any([a.signal, b.signal]), log = [];
    either.addEventListener("abort", () => log.push(either.reason, a.signal.aborted, b.signal.aborted));
    b.abort("b"); a.abort("a");
    const already = AbortSignal.any([new AbortController().signal, AbortSignal.abort("x")]);
    return [log, already.aborted, already.reason, AbortSignal.any([]).aborted]`,
  "any() aborts all before anybody hears of it": `
    const a = new AbortController(); const follower = AbortSignal.any([a.signal]); const log = [];
    a.signal.addEventListener("abort", () => log.push("source", follower.aborted));
    follower.addEventListener("abort", () => log.push("follower"));
    a.abort();
    return log`,
  "any() refuses what is no signal": `AbortSignal.any([{}])`,
};

describe("AbortSignal", () => {
  it.each(Object.entries(SIGNALS))("%s", async (_, body) => {
    await web.sameAsNode(body);
  });

  // Two in which Node is not as the standard has it.
  it("onabort is null when it is set to what is no object", () => {
    expect(web.evaluate(`{ const { signal } = new AbortController(); signal.onabort = 5; signal.onabort }`)).toBe(null);
  });

  it("any() of a signal of any() has the reason of whoever aborted first", () => {
    expect(
      web.evaluate(`{
        const a = new AbortController(), b = new AbortController();
        const chained = AbortSignal.any([AbortSignal.any([a.signal, b.signal])]);
        b.abort("b"); a.abort("a");
        chained.reason }`),
    ).toBe("b");
  });

  it("differs from Node where Node differs from the standard", () => {
    expect(web.evaluate(`const { signal } = new AbortController(); signal.onabort = 5; signal.onabort`)).toBe(null);
    expect(
      web.evaluate(`{
        const a = new AbortController(), b = new AbortController();
        const chained = AbortSignal.any([AbortSignal.any([a.signal, b.signal])]);
        b.abort("b");
        a.abort("a");
        chained.reason;
      }`),
    ).toBe("b");
  });

  it("of any() is not lost while somebody listens, and is not kept when nobody does", async () => {
    setFlagsFromString("--expose-gc");
    const collect = runInNewContext("gc") as () => void;
    web.evaluate(`
      globalThis.source = new AbortController();
      globalThis.heard = [];
      AbortSignal.any([source.signal]).addEventListener("abort", () => heard.push("heard"));
      globalThis.unheard = new WeakRef(AbortSignal.any([source.signal]));
      undefined`);
    // A WeakRef holds on until the job that made it has ended.
    await new Promise((resolve) => setImmediate(resolve));
    collect();
    expect(web.evaluate(`unheard.deref()`)).toBe(undefined);
    expect(web.evaluate(`source.abort(); heard.join()`)).toBe("heard");
  });

  it("timeout() is there when there are timers only", async () => {
    expect(web.evaluate(`typeof AbortSignal.timeout`)).toBe("undefined");
    const timed = await bare(
      ["events"],
      `globalThis.due = []; globalThis.setTimeout = (run, ms) => due.push([run, ms])`,
    );
    expect(
      timed.evaluate(`
        const signal = AbortSignal.timeout(25.5);
        const before = signal.aborted;
        due[0][0]();
        [before, due[0][1], signal.aborted, signal.reason.name, signal.reason instanceof DOMException].join()`),
    ).toBe("false,25,true,TimeoutError,true");
    expect(timed.evaluate(`try { AbortSignal.timeout(-1) } catch (error) { error.name }`)).toBe("TypeError");
  });

  it("shows nothing of its insides", () => {
    expect(web.evaluate(`Object.getOwnPropertyNames(AbortSignal).sort().join()`)).toBe(
      "abort,any,length,name,prototype",
    );
    expect(web.evaluate(`Object.getOwnPropertyNames(EventTarget).sort().join()`)).toBe("length,name,prototype");
    expect(web.evaluate(`Object.keys(new AbortController().signal).join()`)).toBe("");
  });
});
