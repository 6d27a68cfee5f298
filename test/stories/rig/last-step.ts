/** Rig: lives of a gateway that end at one exact step of what it writes (doubles/crash-at.ts). */
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import type { GatewayProcess } from "./gateway-process.ts";
import { until } from "./wait.ts";

const CRASH_AT = fileURLToPath(new URL("../../doubles/crash-at.ts", import.meta.url));

export interface LastStep {
  /** As CRASH_AT has it: `commit:during:1`. */
  readonly step: string;
  /** Only files whose path holds this. */
  readonly files?: string;
  /** Only commits that put or delete a row of that table: `put:0x24`. */
  readonly rows?: string;
}

/**
 * One life up to that step, by SIGKILL. With `act`, which is called when the gateway is ready, nothing counts before it
 * calls `arm`. What it asks for may never be answered, so what it throws is nothing, unless the step does not come.
 */
export async function dieAt(
  gateway: GatewayProcess,
  { step, files, rows }: LastStep,
  act?: (arm: () => void) => Promise<unknown>,
): Promise<void> {
  const mark = join(gateway.folder, "crashed");
  const arm = join(gateway.folder, "armed");
  for (const file of [mark, arm]) rmSync(file, { force: true });
  gateway.launch({
    nodeArgs: ["--import", CRASH_AT],
    env: {
      CRASH_AT: step,
      CRASH_MARK: mark,
      ...(files === undefined ? {} : { CRASH_FILES: files }),
      ...(rows === undefined ? {} : { CRASH_ROWS: rows }),
      ...(act === undefined ? {} : { CRASH_ARM: arm }),
    },
  });
  if (act !== undefined) {
    await gateway.ready();
    const end = gateway.exited();
    end.catch(() => undefined);
    await Promise.race([act(() => writeFileSync(arm, "")), end]).catch(async (thrown: unknown) => {
      // Its answer may break off a moment before the end is known.
      await until("the end of the gateway", () => !gateway.isUp, { withinMs: 5_000 }).catch(() => {
        throw thrown;
      });
    });
  }
  await gateway.exited();
  const reached = existsSync(mark) && readFileSync(mark, "utf8");
  expect({ step, ...gateway.end, reached }, gateway.logTail()).toMatchObject({ signal: "SIGKILL", reached: step });
}

/** Around each of these steps of a kind: `steps("commit", ["before", "after"], [1, 3])`. */
export function steps(kind: string, whens: readonly string[], nths: readonly number[]): string[] {
  return nths.flatMap((nth) => whens.map((when) => `${kind}:${when}:${nth}`));
}
