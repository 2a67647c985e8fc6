/**
 * A disk for simulated power cuts: an ext4 filesystem on a loop device whose image is on another ext4 filesystem.
 *
 * The image holds what was written to the block device and nothing of the page cache above it: exactly what the device would
 * have if it has no volatile cache or obeys FLUSH. `cut` freezes the filesystem below the image, so that no write reaches it
 * any more, and copies it: a copy of one instant, while its owner continues. Mounting the copy replays ext4's journal, as
 * after a power cut. Nothing is left mounted, whatever fails: `remove` undoes each step, in reverse order.
 */
import { execFile, execFileSync } from "node:child_process";
import { closeSync, mkdirSync, openSync, rmSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { Failure, reasonOf } from "@tributary/kernel";

const run = promisify(execFile);
const MIB = 1024 * 1024;

export class LoopDisk {
  readonly #dir: string;
  readonly #bytes: number;
  #undo: (() => void)[] = [];
  #isFrozen = false;

  constructor(dir: string, mib: number) {
    this.#dir = dir;
    this.#bytes = mib * MIB;
    process.once("exit", this.#removed);
  }

  /** Where files survive only as far as they were written out. */
  get path(): string {
    return join(this.#dir, "disk");
  }

  /** Throws Failure `not-root` or `no-loop-device` where the machine cannot do it. */
  create(): void {
    if (process.getuid?.() !== 0) {
      throw new Failure(
        "not-root",
        "ask-a-person",
        "filesystems are mounted: run it as root (sudo npm run chaos -- power)",
      );
    }
    try {
      const below = join(this.#dir, "below");
      this.#mount(this.#image("below.img", this.#bytes * 1.25), below);
      this.#mount(this.#image(join("below", "disk.img"), this.#bytes), this.path);
    } catch (error) {
      this.remove();
      throw new Failure("no-loop-device", "ask-a-person", `this machine cannot mount an image: ${reasonOf(error)}`);
    }
  }

  /** What is there now survives: as if the system had been installed long ago. */
  settle(): void {
    execFileSync("sync", ["-f", this.path]);
  }

  /** Returns the image of the disk at this instant; the disk is frozen until `release`. */
  async cut(): Promise<string> {
    await run("fsfreeze", ["--freeze", join(this.#dir, "below")]);
    this.#isFrozen = true;
    const copy = join(this.#dir, "cut.img");
    await run("cp", ["--sparse=always", join(this.#dir, "below", "disk.img"), copy]);
    return copy;
  }

  release(): void {
    if (this.#isFrozen) execFileSync("fsfreeze", ["--unfreeze", join(this.#dir, "below")]);
    this.#isFrozen = false;
  }

  /** The disk as it is after the cut; processes that used the old one must have ended. */
  restore(image: string): void {
    this.#undo.pop()?.();
    this.#mount(image, this.path);
  }

  remove(): void {
    process.off("exit", this.#removed);
    this.#removed();
  }

  readonly #removed = (): void => {
    this.release();
    for (const undo of this.#undo.splice(0).reverse()) undo();
  };

  #image(name: string, bytes: number): string {
    const file = join(this.#dir, name);
    closeSync(openSync(file, "w"));
    truncateSync(file, bytes);
    const now = "lazy_itable_init=0,lazy_journal_init=0";
    execFileSync("mkfs.ext4", ["-q", "-F", "-E", now, file], { stdio: "pipe" });
    return file;
  }

  #mount(image: string, at: string): void {
    mkdirSync(at, { recursive: true });
    execFileSync("mount", ["-o", "loop", image, at], { stdio: "pipe" });
    this.#undo.push(() => {
      try {
        execFileSync("umount", [at], { stdio: "pipe" });
      } catch {
        execFileSync("umount", ["--lazy", at], { stdio: "pipe" }); // a process still uses it
      }
      rmSync(image, { force: true });
    });
  }
}
