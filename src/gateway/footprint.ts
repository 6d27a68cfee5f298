/** What a start leaves behind and a gateway at rest does not need. */
import { flushCompileCache } from "node:module";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

type Collect = (options: { type: "major"; execution: "sync"; flavor: "last-resort" }) => void;

/**
 * Writes what was compiled to the cache, for a gateway may be killed before it ends in order, and collects the garbage of
 * the start as if memory had run out: only then does V8 give the room back that its young generation has grown into. It
 * offers that to programs with `--expose-gc` only, or to contexts made while the flag is set. Takes some 50 ms: call it
 * before anybody waits.
 */
export function shedStartup(): void {
  flushCompileCache();
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as Collect;
  setFlagsFromString("--no-expose-gc");
  collect({ type: "major", execution: "sync", flavor: "last-resort" });
}
