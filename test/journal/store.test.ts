import { levelStore } from "../../src/journal/journal.ts";
import { storeContract } from "../contracts/store.ts";
import { FaultyStore } from "../doubles/faulty-store.ts";
import { ShakyStore } from "./shaky-store.ts";

storeContract("of LevelDB", () => levelStore({ writeBufferBytes: 1024 * 1024, cacheBytes: 1024 * 1024 }));
storeContract("that fails on demand, while it does not", () => new FaultyStore());
storeContract("that is shaky, while it is not", () => new ShakyStore());
