/**
 * What mended tables no longer have. It is noted beside the store before a table is replaced, and the note goes when
 * recovery has dealt with it: a process that dies in between leaves it for the next.
 *
 * A range that is lost takes rows with it, and lets older ones come back: values that had been overwritten, rows that had
 * been deleted. What each sort of rows makes of that:
 *
 * - Pages and commits are numbered: what is missing shows, and what was let go of lies below the number that says so.
 * - Progress has two copies, far apart, and the commits since; it is told when both copies are hit.
 * - State, parked tasks and dead letters may be older than they were, or back: told, and the ledger follows (reconcile.ts).
 * - A claim that came back would have a new message of its device taken for a repeat, acknowledged and lost. So all claims
 *   in the range go: a message may enter twice, and none is lost.
 */
import { open, readFile, rm } from "node:fs/promises";
import type { Core } from "./core.ts";
import type { Damage } from "./damage.ts";
import { keys } from "./keys.ts";
import type { Range } from "./keys.ts";
import type { Lost } from "./mend.ts";

export interface LostNote {
  readonly what: string;
  readonly lost: readonly Lost[];
}

/** Is on disk when it resolves. */
export async function note(path: string, { what, lost }: LostNote): Promise<void> {
  const ranges = lost.map(({ from, to }) => [from.toString("hex"), to.toString("hex")]);
  const file = await open(notePath(path), "a");
  try {
    // On a line of its own, whatever a process has left that died as it wrote.
    await file.writeFile(`\n${JSON.stringify({ what, lost: ranges })}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
}

export async function readNotes(path: string): Promise<LostNote[]> {
  const text = await readFile(notePath(path), "utf8").catch(() => "");
  return text.split("\n").flatMap((line) => {
    try {
      const { what, lost } = JSON.parse(line) as { what: string; lost: [string, string][] };
      return [
        { what, lost: lost.map(([from, to]) => ({ from: Buffer.from(from, "hex"), to: Buffer.from(to, "hex") })) },
      ];
    } catch {
      // The process died as it wrote it: the table that it speaks of is not replaced yet.
      return [];
    }
  });
}

export async function forgetNotes(path: string): Promise<void> {
  await rm(notePath(path), { force: true });
}

export function tell(damage: Damage, notes: readonly LostNote[]): void {
  for (const { what } of notes) damage.report({ where: "store", from: -1, to: -1, what });
  const lost = notes.flatMap((each) => each.lost);
  const hit = (range: Range): boolean => lost.some(({ from, to }) => overlaps(range, from, to));
  const report = (where: string, what: string): void => void damage.report({ where, from: -1, to: -1, what });
  if (hit(keys.checkpoints(0)) && hit(keys.checkpoints(1)))
    report(
      "progress",
      "both copies were in tables that were damaged: handlers and uplinks may stand where they stood before",
    );
  if (hit(keys.states())) report("state", `state was in a damaged table: it may be gone or older than it was`);
  if (hit(keys.parkedAll())) report("parked", "parked tasks were in a damaged table: they may be gone, or run again");
  if (hit(keys.deadFrom(0))) report("dead letters", "dead letters were in a damaged table: they may be gone, or back");
  if (hit(keys.claims()))
    report("claims", "claims were in a damaged table: QoS 2 messages that devices repeat may enter twice");
  if (hit(keys.repeats()))
    report("repeats", "calls of webhooks were in a damaged table: repeats of them may make a second event");
  if (hit(keys.records())) report("records", "records of what tasks came to may be gone: replays pass over them");
  if (hit(keys.replays())) report("replays", "how far replays had come may be gone, or older: they may send twice");
  if (hit(keys.ticks())) report("ticks", "ticks were in a damaged table: schedules may begin anew, or tick twice");
}

/** Lets go of the claims that may have come back. */
export function dropClaims(core: Core, notes: readonly LostNote[]): void {
  const lost = notes.flatMap((each) => each.lost);
  const { claims, writer } = core;
  for (const device of claims.devices) {
    for (const packetId of [...claims.of(device)]) {
      const key = keys.claim(device, packetId);
      const isLost = lost.some(({ from, to }) => key.compare(from) >= 0 && key.compare(to) <= 0);
      if (isLost) claims.unstage(writer.group, device, packetId);
    }
  }
}

function overlaps({ gte, lt }: Range, from: Buffer, to: Buffer): boolean {
  return from.compare(lt) < 0 && to.compare(gte) >= 0;
}

function notePath(path: string): string {
  return `${path}.lost`;
}
