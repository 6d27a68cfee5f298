/**
 * Rig: disks that can lose power, and disks that can be full.
 *
 * A {@link CuttableDisk} is an ext4 image on a loop device; the image is a file on an XFS with reflinks (an image on a loop
 * device itself). `cut()` copies the image in one instant by sharing its extents: the copy holds what had reached the
 * disk, and nothing that was only in the page cache of the ext4, just as after a power cut. Mounting the copy replays
 * ext4's own journal. Difference from a real cut: sectors are never torn, and the drive's own cache does not exist.
 */
import {
  closeSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  statfsSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "../../stories/rig/wait.ts";
import { needTools, run } from "./tools.ts";

const HOST_BYTES = 4 * 1024 ** 3;
const UNMOUNT_MS = 5_000;

/** Sparse: costs what is written to it. */
function makeImage(path: string, bytes: number): void {
  const file = openSync(path, "w");
  ftruncateSync(file, bytes);
  closeSync(file);
}

/** Mounts in the order they were made; undone in mirror order when disposed. */
class Mounts {
  readonly folder: string;
  readonly #mounted: string[] = [];

  constructor(name: string) {
    this.folder = mkdtempSync(join(tmpdir(), `sluice-${name}-`));
    process.once("exit", this.undo);
  }

  mount(image: string, name: string, ...options: readonly string[]): string {
    const point = join(this.folder, name);
    mkdirSync(point);
    run("mount", "-o", ["loop", ...options].join(","), image, point);
    this.#mounted.push(point);
    return point;
  }

  /** The kernel still holds for a moment what a process that has ended had open. */
  async unmount(point: string): Promise<void> {
    await until(`the end of what uses ${point}`, () => run("umount", point) === "", { withinMs: UNMOUNT_MS });
    this.#mounted.splice(this.#mounted.indexOf(point), 1);
    rmSync(point, { recursive: true });
  }

  readonly undo = (): void => {
    process.removeListener("exit", this.undo);
    for (const point of this.#mounted.splice(0).toReversed()) run("umount", "--lazy", point);
    rmSync(this.folder, { recursive: true, force: true });
  };
}

export class CuttableDisk {
  /** The live file system. */
  readonly folder: string;
  readonly #mounts: Mounts;
  readonly #host: string;
  #cuts = 0;

  constructor(bytes: number) {
    needTools("mount", "mkfs.ext4", "mkfs.xfs");
    this.#mounts = new Mounts("power-cut");
    const hostImage = join(this.#mounts.folder, "host.xfs");
    makeImage(hostImage, HOST_BYTES);
    run("mkfs.xfs", "-q", "-m", "reflink=1", hostImage);
    this.#host = this.#mounts.mount(hostImage, "host");
    const disk = join(this.#host, "disk.ext4");
    makeImage(disk, bytes);
    run("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", disk);
    this.folder = this.#mounts.mount(disk, "disk");
  }

  /** The power goes, for a copy of the disk. Returns the copy's image; the live disk goes on. */
  cut(): string {
    const image = join(this.#host, `cut-${++this.#cuts}.ext4`);
    run("cp", "--reflink=always", join(this.#host, "disk.ext4"), image);
    return image;
  }

  /** The power is back: mounts a cut's image and returns the folder. */
  mountCut(image: string): string {
    return this.#mounts.mount(image, `after-${++this.#cuts}`);
  }

  async unmountCut(folder: string, image: string): Promise<void> {
    await this.#mounts.unmount(folder);
    rmSync(image);
  }

  [Symbol.dispose](): void {
    this.#mounts.undo();
  }
}

/** A real, small ext4 that a test can fill to the brim and free again. */
export class SmallDisk {
  readonly folder: string;
  readonly #mounts: Mounts;

  constructor(bytes: number) {
    needTools("mount", "mkfs.ext4");
    this.#mounts = new Mounts("small-disk");
    const image = join(this.#mounts.folder, "disk.ext4");
    makeImage(image, bytes);
    run("mkfs.ext4", "-q", "-F", "-m", "0", image);
    this.folder = this.#mounts.mount(image, "disk");
  }

  get freeBytes(): number {
    const { bavail, bsize } = statfsSync(this.folder);
    return bavail * bsize;
  }

  /** Something else on the box writes until `leaveBytes` are left. */
  fill(leaveBytes: number): void {
    const chunk = Buffer.alloc(1024 * 1024, 0x55);
    const file = openSync(join(this.folder, "filler"), "a");
    try {
      for (;;) {
        const want = Math.min(chunk.length, this.freeBytes - leaveBytes);
        if (want <= 0) break;
        writeSync(file, chunk, 0, want);
        fsyncSync(file);
      }
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code !== "ENOSPC") throw thrown;
    } finally {
      closeSync(file);
    }
  }

  free(): void {
    writeFileSync(join(this.folder, "filler"), "");
  }

  [Symbol.dispose](): void {
    this.#mounts.undo();
  }
}
