/** A control server on a port of its own, over a source in memory, with its data folder. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Control } from "../../src/control/control.ts";
import type { ControlOptions } from "../../src/control/control.ts";
import { controlSettings } from "../../src/control/settings.ts";
import { createLog } from "../../src/log.ts";
import { systemClock } from "../../src/time.ts";
import { MemorySource } from "../doubles/control-source.ts";

type ControlHooks = NonNullable<ControlOptions["hooks"]>;

export interface Opened extends AsyncDisposable {
  readonly control: Control;
  readonly source: MemorySource;
  readonly data: string;
  readonly token: string;
  ask(path: string, init?: RequestInit): Promise<Response>;
}

export async function openControl(settings: Record<string, unknown> = {}, hooks?: ControlHooks): Promise<Opened> {
  const data = await mkdtemp(join(tmpdir(), "sluice-control-"));
  const source = new MemorySource();
  const control = await Control.open({
    settings: controlSettings.parse({ url: "http://127.0.0.1:0", ...settings }),
    data,
    source,
    ...(hooks === undefined ? {} : { hooks }),
    clock: systemClock,
    log: createLog({ level: "silent", pretty: false }),
  });
  const token = (await readFile(join(data, "admin.token"), "utf8")).trim();
  return {
    control,
    source,
    data,
    token,
    ask: (path, init = {}) =>
      fetch(control.url + path, {
        ...init,
        headers: { authorization: `Bearer ${token}`, ...(init.headers as object) },
      }),
    async [Symbol.asyncDispose]() {
      await control.close(1000);
      await rm(data, { recursive: true, force: true });
    },
  };
}
