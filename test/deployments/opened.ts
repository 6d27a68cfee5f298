/** Deployments over a real folder and a real sandbox, and a record of what they reported; all of it goes with the test. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, onTestFinished } from "vitest";
import { Deployments } from "../../src/deployments/deployments.ts";
import type { DeploymentsOptions, LiveHandler } from "../../src/deployments/deployments.ts";
import { handlersSettings } from "../../src/deployments/settings.ts";
import type { HandlersSettings } from "../../src/deployments/settings.ts";
import type { Fault } from "../../src/fault.ts";
import { createLog } from "../../src/log.ts";
import type { Sandbox } from "../../src/sandbox/sandbox.ts";
import { systemClock } from "../../src/time.ts";
import { openSandbox } from "../sandbox/opened.ts";

export class Folder {
  readonly root = mkdtempSync(join(tmpdir(), "sluice-deployments-"));
  readonly dir = join(this.root, "handlers");
  readonly data = join(this.root, "data", "deployments");

  constructor() {
    mkdirSync(this.dir);
    onTestFinished(() => rmSync(this.root, { recursive: true }));
  }

  write(file: string, text: string): void {
    const path = join(this.dir, file);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  }

  remove(file: string): void {
    rmSync(join(this.dir, file), { recursive: true });
  }
}

/** A handler's source. */
export function source(body: string, config = '{ topic: "a" }'): string {
  return `export const config = ${config};\nexport default (event: unknown) => {\n  ${body}\n};\n`;
}

let shared: Sandbox | undefined;

/** One for the whole file: what is inspected leaves nothing behind. */
export async function sharedSandbox(): Promise<Sandbox> {
  shared ??= (await openSandbox()).sandbox;
  return shared;
}

afterAll(() => shared?.close());

export interface Opened {
  readonly deployments: Deployments;
  readonly live: LiveHandler[];
  readonly removed: string[];
  readonly failed: [string, Fault][];
  readonly mended: string[];
}

/** `handlers` as an operator writes it. */
export async function openDeployments(
  folder: Folder,
  handlers: object = {},
  more: Partial<DeploymentsOptions> = {},
): Promise<Opened> {
  const sandbox = await sharedSandbox();
  const live: LiveHandler[] = [];
  const removed: string[] = [];
  const failed: [string, Fault][] = [];
  const mended: string[] = [];
  const deployments = await Deployments.open({
    handlers: settings(folder, handlers),
    folder: folder.data,
    clock: systemClock,
    log: createLog({ level: "silent", pretty: false }),
    inspect: ({ name, code, sourceMap, timeoutMs, memoryBytes }) =>
      sandbox.inspect({
        name,
        id: 0,
        version: 0,
        code,
        sourceMap,
        settings: { timeoutMs, memoryBytes, params: {}, topics: [] },
      }),
    live: async (handler) => {
      live.push(handler);
    },
    removed: (name) => {
      removed.push(name);
      return 0;
    },
    failed: (name, fault) => {
      failed.push([name, fault]);
    },
    mended: (name) => {
      mended.push(name);
    },
    takeBack: () => Promise.resolve(0),
    letterMark: () => 0,
    ...more,
  });
  onTestFinished(() => deployments.close());
  return { deployments, live, removed, failed, mended };
}

export function settings(folder: Folder, handlers: object): HandlersSettings {
  return handlersSettings.parse({ dir: folder.dir, watch: false, ...handlers });
}
