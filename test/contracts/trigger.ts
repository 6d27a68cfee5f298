/**
 * What every kind of trigger keeps to (T1 to T3), whatever makes its events. A kind says how a handler asks for it and
 * what happening its request covers.
 */
import { describe, expect, it } from "vitest";
import type { Trigger, TriggerConfig } from "../../src/triggers/triggers.ts";

export interface TriggerSubject {
  readonly make: () => Trigger;
  /** A config that asks for this kind, twice over where that is possible, and an event topic that it covers. */
  readonly asks: TriggerConfig;
  readonly covered: string;
  readonly elsewhere: string;
  /** Undefined of a kind that has nothing to refuse by itself. */
  readonly refused: TriggerConfig | undefined;
}

export function triggerContract(name: string, subject: TriggerSubject): void {
  describe(`trigger ${name}`, () => {
    it("match() gives a handler once however often its config covers the event (T1)", () => {
      const trigger = subject.make();
      trigger.bind(7, subject.asks);
      expect(trigger.match(subject.covered)).toEqual([7]);
      expect(trigger.match(subject.elsewhere)).toEqual([]);
    });

    it("match() gives all handlers that want it, rising", () => {
      const trigger = subject.make();
      for (const id of [9, 2, 30]) trigger.bind(id, subject.asks);
      expect(trigger.match(subject.covered)).toEqual([2, 9, 30]);
    });

    it("unbind() ends it at once, also for what has been matched before", () => {
      const trigger = subject.make();
      trigger.bind(7, subject.asks);
      trigger.bind(8, subject.asks);
      expect(trigger.match(subject.covered)).toEqual([7, 8]);
      trigger.unbind(7);
      expect(trigger.match(subject.covered)).toEqual([8]);
    });

    it("bind() again replaces what was bound", () => {
      const trigger = subject.make();
      trigger.bind(7, subject.asks);
      trigger.bind(7, subject.asks);
      trigger.unbind(7);
      expect(trigger.match(subject.covered)).toEqual([]);
    });

    it("bind() again without the kind leaves nothing of it", () => {
      const trigger = subject.make();
      trigger.bind(7, subject.asks);
      expect(trigger.match(subject.covered)).toEqual([7]);
      expect(trigger.bind(7, { topics: [], key: undefined })).toBeUndefined();
      expect(trigger.match(subject.covered)).toEqual([]);
    });

    const { refused } = subject;
    if (refused !== undefined) {
      it("a refused config changes nothing (T3)", () => {
        const trigger = subject.make();
        trigger.bind(7, subject.asks);
        expect(() => trigger.bind(7, refused)).toThrow();
        expect(trigger.match(subject.covered)).toEqual([7]);
      });
    }

    it("bind() asks nothing of a kind that the config does not name", () => {
      expect(subject.make().bind(1, { topics: [], key: undefined })).toBeUndefined();
    });
  });
}
