/** `sluice/testing`. Its types, with what each of them means, are in harness/testing-api.d.ts. */
import { openHandler as open } from "./harness/opened-handler.ts";
import type * as Api from "./harness/testing-api.d.ts";

export const openHandler: typeof Api.openHandler = open;
