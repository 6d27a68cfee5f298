/**
 * Rig: the kernel made slow or failing for one process tree, by strace's fault injection.
 *
 * The words go before the command. `-DD` makes strace a detached grandchild, so that the spawned process is the gateway
 * itself and signals reach it. `--seccomp-bpf` stops the gateway at the traced calls only.
 */
import { needTools } from "./tools.ts";

export interface Injection {
  /** System calls, comma separated. */
  readonly calls: string;
  /** In strace's words: `delay_enter=60000`, `error=EIO:when=20+50`. */
  readonly what: string;
  /** Only calls on these paths; all when left out. Files need not exist yet. */
  readonly paths?: readonly string[];
  /** Where strace writes what it did, for a test to count. */
  readonly record?: string;
}

export function straceWords(...injections: readonly Injection[]): string[] {
  needTools("strace");
  const words = ["strace", "-DD", "-f", "--seccomp-bpf", "-qq"];
  // Appended: a gateway that is killed and started again begins a strace of its own.
  words.push("-A", "-o", injections.find(({ record }) => record !== undefined)?.record ?? "/dev/null");
  words.push("-e", `trace=${injections.map(({ calls }) => calls).join(",")}`, "-e", "signal=none");
  for (const { calls, what, paths } of injections) {
    words.push("-e", `inject=${calls}:${what}`);
    for (const path of paths ?? []) words.push("-P", path);
  }
  return words;
}
