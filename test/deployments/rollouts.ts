/** A handler whose versions come and go, as a test says; each test has a folder of its own. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, vi } from "vitest";
import { buildHandler } from "../../src/deployments/build.ts";
import type { Deployed, DeploymentsOptions } from "../../src/deployments/deployments.ts";
import { Folder, openDeployments, source } from "./opened.ts";
import type { Opened } from "./opened.ts";

/** What is open, and whose dead letters were asked for. */
export const stage = {} as { folder: Folder; opened: Opened };
export const takenBack: unknown[] = [];

/** To be called once by each file of tests. */
export function eachWithItsFolder(): void {
  beforeEach(() => {
    stage.folder = new Folder();
    takenBack.length = 0;
  });
  afterEach(() => void vi.useRealTimers());
}

export async function open(handlers: object = {}, more: Partial<DeploymentsOptions> = {}): Promise<Opened> {
  stage.opened = await openDeployments(stage.folder, handlers, {
    takeBack: async (...asked) => {
      takenBack.push(asked.slice(0, 2));
      return 1;
    },
    ...more,
  });
  return stage.opened;
}

export async function again(handlers: object = {}): Promise<Opened> {
  await stage.opened.deployments.close();
  return open(handlers);
}

/** As the command line does it. */
export async function deploy(
  body: string,
  more: { share?: number; config?: string; name?: string } = {},
): Promise<Deployed> {
  const { share, config, name = "h" } = more;
  const dir = join(stage.folder.root, "elsewhere");
  mkdirSync(dir, { recursive: true });
  const entry = join(dir, `${name}.ts`);
  writeFileSync(entry, config === undefined ? source(body) : source(body, config));
  const { code, sourceMap } = await buildHandler(name, entry, stage.folder.root, {});
  return stage.opened.deployments.deploy({
    name,
    code,
    sourceMap,
    file: `elsewhere/${name}.ts`,
    share,
    author: "ada",
    message: body,
  });
}

export async function save(body: string): Promise<void> {
  stage.folder.write("h.ts", source(body));
  await stage.opened.deployments.scan();
}

export const live = (): number | undefined => stage.opened.live.at(-1)?.version;
export const codeOf = (thrown: unknown): unknown => (thrown as { code?: unknown }).code;
export const history = async (): Promise<string[]> =>
  (await stage.opened.deployments.versions("h")).history.map(({ what, version }) => `${version} ${what}`);
