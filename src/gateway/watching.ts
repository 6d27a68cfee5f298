/** What happens in the rooms, told to whoever waits for it: looks at the uplinks, and passes on what devices and files do. */
import type { Journal } from "../journal/journal.ts";
import { systemClock as clock } from "../time.ts";
import { Folders, Notices } from "../triggers/triggers.ts";
import type { Triggers } from "../triggers/triggers.ts";
import type { UplinkStatus } from "../uplinks/uplinks.ts";
import type { Telling } from "./telling.ts";

/** An uplink that is down for less than this may go unnoticed. */
const LOOK_MS = 500;
const NOBODY = { committed: (): void => undefined };

interface Seen {
  readonly healthy: boolean;
  readonly full: boolean;
}

export class Watching {
  readonly notices: Notices;
  readonly #uplinks: () => readonly UplinkStatus[];
  readonly #seen = new Map<string, Seen>();
  readonly #folders: Folders;
  readonly #telling: Telling;
  readonly #timer: NodeJS.Timeout;

  constructor(
    triggers: Triggers,
    journal: Journal,
    hopsMax: number,
    uplinks: () => readonly UplinkStatus[],
    telling: Telling,
  ) {
    const { on } = triggers;
    this.#telling = telling;
    this.#uplinks = uplinks;
    this.notices = new Notices({
      on,
      accept: (event, wanted) => journal.append(event, wanted, NOBODY, 0) === "taken",
      hopsMax,
      clock,
    });
    this.#folders = new Folders(({ change, path, bytes }) =>
      this.notices.tell("file.changed", path, { path, change, bytes }),
    );
    on.onChange = () => this.#folders.set(on.folders);
    this.#timer = setInterval(() => this.#look(), LOOK_MS);
    this.#timer.unref();
  }

  device(what: "connected" | "disconnected", device: string): void {
    this.notices.tell(`device.${what}`, device, { device }, device);
  }

  subscribed(device: string, filter: string, qos: number): void {
    this.notices.tell("device.subscribed", device, { device, filter, qos }, device);
  }

  rolledBack(handler: string, message: string): void {
    this.notices.tell("handler.rolled-back", handler, { handler, message });
  }

  started(version: string): void {
    this.notices.tell("gateway.started", "", { version });
  }

  close(): void {
    clearInterval(this.#timer);
    this.#folders.close();
  }

  #look(): void {
    for (const { name, healthy, full, waiting, fault } of this.#uplinks()) {
      const seen = this.#seen.get(name);
      this.#seen.set(name, { healthy, full });
      if (seen?.healthy !== healthy && (seen !== undefined || !healthy)) {
        const why = fault === undefined ? {} : { code: fault.code, message: fault.message };
        this.#telling.uplink(name, healthy ? "up" : "down", waiting, why);
        this.notices.tell(healthy ? "uplink.up" : "uplink.down", name, { uplink: name, waiting, ...why });
      }
      if (full && seen?.full !== true) {
        this.#telling.uplink(name, "full", waiting);
        this.notices.tell("uplink.full", name, { uplink: name, waiting });
      }
    }
  }
}
