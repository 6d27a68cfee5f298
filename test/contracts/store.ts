/**
 * What the journal relies on in a store, whatever is behind its door.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import type { StoreFactory } from "../../src/journal/journal.ts";

const key = (text: string): Buffer => Buffer.from(text);

export function storeContract(name: string, factoryOf: () => StoreFactory): void {
  describe(`the store ${name}`, () => {
    async function folder(): Promise<string> {
      const path = await mkdtemp(join(tmpdir(), "sluice-store-"));
      onTestFinished(() => rm(path, { recursive: true, force: true, maxRetries: 5 }));
      return join(path, "store");
    }

    it("keeps what a synced batch wrote over closing and opening, and applies a batch in its order", async () => {
      const factory = factoryOf();
      const path = await folder();
      const first = await factory.open(path);
      await first.batch(
        [
          { type: "put", key: key("a"), value: key("1") },
          { type: "put", key: key("b"), value: key("2") },
          { type: "del", key: key("a") },
          { type: "put", key: key("b"), value: key("3") },
        ],
        { sync: true },
      );
      await first.close();
      const second = await factory.open(path);
      expect(await second.getMany([key("a"), key("b")])).toEqual([undefined, key("3")]);
      expect(await second.get(key("b"))).toEqual(key("3"));
      await second.close();
    });

    it("walks rows by the bytes of their keys, both ways, within bounds, with and without values", async () => {
      const store = await factoryOf().open(await folder());
      const keys = [Buffer.of(0), Buffer.of(1, 255), Buffer.of(2), Buffer.of(255)];
      await store.batch(
        keys.map((key) => ({ type: "put" as const, key, value: key })),
        { sync: true },
      );
      const between = { gte: Buffer.of(1), lt: Buffer.of(255) };
      const rows = store.iterator(between);
      expect(await rows.nextv(10)).toEqual([
        [keys[1], keys[1]],
        [keys[2], keys[2]],
      ]);
      expect(await rows.nextv(10)).toEqual([]);
      await rows.close();
      const bare = store.iterator({ ...between, values: false });
      expect((await bare.nextv(10)).map(([key]) => key)).toEqual([keys[1], keys[2]]);
      await bare.close();
      const back = store.keys({ ...between, reverse: true, limit: 1 });
      expect(await back.nextv(10)).toEqual([keys[2]]);
      await back.close();
      await store.compactRange(Buffer.of(0), Buffer.of(255));
      await store.close();
    });

    it("a walk sees the rows of the moment at which it began", async () => {
      const store = await factoryOf().open(await folder());
      await store.batch([{ type: "put", key: key("a"), value: key("1") }], { sync: true });
      const rows = store.iterator({ gte: key("a"), lt: key("z") });
      await store.batch([{ type: "put", key: key("b"), value: key("2") }], { sync: true });
      expect(await rows.nextv(10)).toEqual([[key("a"), key("1")]]);
      await rows.close();
      await store.close();
    });

    it("is opened by one at a time, and says LEVEL_LOCKED to others", async () => {
      const factory = factoryOf();
      const path = await folder();
      const store = await factory.open(path);
      const error = await factory.open(path).catch((thrown: unknown) => thrown);
      const { cause, code } = error as { cause?: { code?: string }; code?: string };
      expect(cause?.code ?? code).toBe("LEVEL_LOCKED");
      await store.close();
    });

    it("rejects what is asked of it after it was closed", async () => {
      const store = await factoryOf().open(await folder());
      await store.close();
      await expect(store.get(key("a"))).rejects.toMatchObject({ code: "LEVEL_DATABASE_NOT_OPEN" });
      await expect(store.batch([{ type: "del", key: key("a") }], { sync: true })).rejects.toThrow();
    });
  });
}
