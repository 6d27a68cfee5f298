// `sluice/testing`, from the source in a checkout and from lib/ in the package; its types are in src/harness/testing-api.d.ts.
import { existsSync } from "node:fs";

const isCheckout = existsSync(new URL("../src/testing.ts", import.meta.url));
export const { openHandler } = await import(isCheckout ? "../src/testing.ts" : "../lib/testing.js");
