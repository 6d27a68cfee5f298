/** Rig: all processes of a gateway, which leads a group of its own. */
import { readdirSync, readFileSync } from "node:fs";

export function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // Nobody is left.
  }
}

/**
 * A process that has ended and that its new parent has not yet buried does not count, unless only its first thread has:
 * then the others still hold its files.
 */
export function groupIsAlive(group: number): boolean {
  try {
    process.kill(-group, 0);
  } catch {
    return false;
  }
  return readdirSync("/proc").some((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      // After the name, which may hold anything, in parentheses: state, parent, group; as the 18th, threads.
      const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      const hasEnded = (fields[0] === "Z" || fields[0] === "X") && Number(fields[17]) <= 1;
      return Number(fields[2]) === group && !hasEnded;
    } catch {
      return false;
    }
  });
}
