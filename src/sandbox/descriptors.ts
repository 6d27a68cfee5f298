/**
 * A runner has its channel open, and nothing else of the gateway's. Node sees to that for what it opens itself, but LevelDB
 * opens its files so that children inherit them: whatever of the journal was open when a runner was started could be
 * written by whoever takes it over, and kept its room on the disk when the journal had removed it. The gateway itself may
 * have been started with something open, such as a lock or a pipe of a shell's.
 *
 * Nothing in Node closes that when it starts a process. So the runner does, when it is greeted, before any code of a
 * handler is in it.
 */
import { closeSync, fstatSync, readdirSync, readFileSync } from "node:fs";

/** Something that children inherit: its number, and what it is, for the number may be another's in there. */
export interface Inherited {
  readonly fd: number;
  readonly inode: number;
}

/** What a runner must be allowed to list. It cannot read anything by it but what it has open anyway. */
export const DESCRIPTORS = "/proc/self/fd";

const CHANNEL_FD = 3;
/** O_CLOEXEC, as Linux has it. */
const CLOSED_ON_EXEC = 0o2_000_000;

let handedOn: readonly Inherited[] | undefined;

/** In the gateway: what it has been started with, files aside. It stays the same. */
export function startedWith(): readonly Inherited[] {
  return (handedOn ??= descriptors().flatMap((fd) => {
    try {
      const flags = /^flags:\s*(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "latin1"))?.[1];
      const stats = fstatSync(fd);
      if (flags === undefined || (Number.parseInt(flags, 8) & CLOSED_ON_EXEC) !== 0 || stats.isFile()) return [];
      return [{ fd, inode: stats.ino }];
    } catch {
      return []; // It was closed meanwhile.
    }
  }));
}

/** In the runner: closes all files, for a runner has none of its own, and what the gateway was started with. */
export function closeInherited(inherited: readonly Inherited[]): void {
  for (const fd of descriptors()) {
    try {
      const stats = fstatSync(fd);
      const isStrange = inherited.some((each) => each.fd === fd && each.inode === stats.ino);
      if (stats.isFile() || isStrange) closeSync(fd);
    } catch {
      // It was closed meanwhile: what listed them was one of them.
    }
  }
}

/** Those beside the channel; none where the system does not tell, and does not hand any on either. */
function descriptors(): number[] {
  try {
    return readdirSync(DESCRIPTORS)
      .map(Number)
      .filter((fd) => fd > CHANNEL_FD);
  } catch {
    return [];
  }
}
