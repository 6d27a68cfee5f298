import { describe, expect, it } from "vitest";
import { METRICS } from "../../src/control/metric-table.ts";
import { openControl } from "./opened.ts";

describe("/metrics", () => {
  it("has every metric of the table with its help and type, read anew at each scrape", async () => {
    await using opened = await openControl();
    const first = await (await opened.ask("/metrics")).text();
    for (const { name, type } of METRICS) expect(first).toContain(`# TYPE ${name} ${type}\n`);
    expect(first).toContain("sluice_ready 1\n");
    expect(first).toContain('sluice_tasks_total{end="accepted"} 10\n');
    // What may go down again is no counter.
    expect(first).not.toMatch(/end="(pending|dead|waiting|rejected)"/);
    expect(first).toContain("sluice_tasks_dead 2\n");
    expect(first).toContain('sluice_journal_dropped_total{reason="full"} 3\n');
    expect(first).toContain('sluice_outputs_total{uplink="cloud",end="delivered"} 4\n');
    expect(first).toContain('sluice_broker_published_total{qos="1"} 12\n');
    expect(first).toContain('sluice_task_retries_total{handler="overheat"} 4\n');
    expect(first).toContain('sluice_handler_budget_spent_total{handler="overheat",budget="time"} 2\n');
    expect(first).toContain('sluice_handler_budget_spent_total{handler="overheat",budget="log"} 7\n');
    expect(first).toContain('sluice_handler_held_back_seconds_total{handler="overheat"} 1.5\n');
    expect(first).toContain('sluice_handler_state_bytes{handler="overheat"} 512\n');
    expect(first).toContain('sluice_handler_cpu_seconds_total{handler="overheat"} 0.25\n');
    opened.source.reasons = ["the journal is full"];
    const second = await (await opened.ask("/metrics")).text();
    expect(second).toContain("sluice_ready 0\n");
    // A counter shows what the room counted, not that plus what it showed before.
    expect(second).toContain('sluice_tasks_total{end="accepted"} 10\n');
  });

  it("shows how long events took as a histogram, whose buckets count those below", async () => {
    await using opened = await openControl();
    const text = await (await opened.ask("/metrics")).text();
    const lines = text.split("\n").filter((line) => line.startsWith("sluice_handler_event_seconds"));
    expect(lines).toEqual([
      'sluice_handler_event_seconds_bucket{handler="overheat",le="0.001"} 1',
      'sluice_handler_event_seconds_bucket{handler="overheat",le="0.005"} 15',
      'sluice_handler_event_seconds_bucket{handler="overheat",le="+Inf"} 21',
      'sluice_handler_event_seconds_sum{handler="overheat"} 0.09',
      'sluice_handler_event_seconds_count{handler="overheat"} 21',
    ]);
    expect(text).toContain("# TYPE sluice_handler_event_seconds histogram\n");
  });

  it("says what a scrape is in its content type", async () => {
    await using opened = await openControl();
    const answer = await opened.ask("/metrics");
    expect(answer.headers.get("content-type")).toMatch(/^text\/plain; version=0\.0\.4/);
    const samples = (await answer.text()).split("\n").filter((line) => line !== "" && !line.startsWith("#"));
    expect(
      samples.filter((line) => !/^sluice_[a-z0-9_]+(\{[^}]*\})? [-+0-9.e]+$|^sluice_\S+ Nan$/i.test(line)),
    ).toEqual([]);
  });
});
