/** A pipeline over a test's journal and runners; what a test does not speak of is out of the way. */
import { createLog } from "../../src/log.ts";
import { Pipeline } from "../../src/pipeline.ts";
import type { PipelineOptions } from "../../src/pipeline.ts";
import { systemClock } from "../../src/time.ts";

type Given = Pick<PipelineOptions, "journal" | "runners" | "wanted"> & Partial<PipelineOptions>;

export function openPipeline(given: Given): Pipeline {
  return new Pipeline({
    isFull: () => false,
    judged: () => undefined,
    uplink: () => undefined,
    local: 0,
    hopsMax: 8,
    nameOf: (handler) => `handler ${handler}`,
    clock: systemClock,
    random: () => 0,
    lossesMax: 3,
    provenAfterMs: 0,
    log: createLog({ level: "silent", pretty: false }),
    ...given,
  });
}
