/** How long a runner may take for what it is asked, beside other things. */
import { expect, it } from "vitest";
import { InFlightTable } from "../../src/sandbox/in-flight.ts";
import type { Request } from "../../src/sandbox/in-flight.ts";
import { SetClock } from "../journal/fixture.ts";

const REQUEST: Request = { at: "load", answered: () => undefined };
/** What is allowed beyond budgets. */
const GRACE_MS = 2500;

function opened(): { table: InFlightTable; isOverdueIn: (ms: number) => boolean } {
  const clock = new SetClock();
  const table = new InFlightTable(clock);
  return { table, isOverdueIn: (ms) => table.isOverdue(clock.monotonic() + ms) };
}

it("what is asked alone has its own time and some grace", () => {
  const { table, isOverdueIn } = opened();
  table.add(REQUEST, 1000);
  expect([isOverdueIn(1000 + GRACE_MS), isOverdueIn(1001 + GRACE_MS)]).toEqual([false, true]);
});

it("what is asked with others has theirs too, whether they came before it or after it", () => {
  const { table, isOverdueIn } = opened();
  const ids = Array.from({ length: 3 }, () => table.add(REQUEST, 1000));
  expect([isOverdueIn(3000 + GRACE_MS), isOverdueIn(3001 + GRACE_MS)]).toEqual([false, true]);
  for (const id of ids) table.take(id);
  table.add(REQUEST, 1000);
  expect([isOverdueIn(1000 + GRACE_MS), isOverdueIn(1001 + GRACE_MS)]).toEqual([false, true]);
});

it("what is never answered is overdue at last, however many others come after it and are", () => {
  const { table, isOverdueIn } = opened();
  table.add(REQUEST, 1000);
  for (let n = 0; n < 1000; n++) table.take(table.add(REQUEST, 1000));
  expect([isOverdueIn(31_000 + GRACE_MS), isOverdueIn(31_001 + GRACE_MS)]).toEqual([false, true]);
});
