/**
 * Writes of pictures to a disk that may be full, read-only or broken.
 *
 * D1. A write that fails by its disk is tried again until it succeeds: its batch waits in Kafka meanwhile, and the lag of its partition
 *     grows. After `waitMsMax` without any success each write is tried once more and given up as `disk-full` (G9), so that answers and
 *     labels, for which no disk is needed, do not wait forever.
 * D2. `problem` names the disk and the cause from the first such failure until a write succeeds again; `probe` finds that out where no
 *     picture is to be written.
 * D3. Any other failure is of one write, and is its caller's.
 */
import { type Backoff, backoffMs, type Clock, type Random } from "@tributary/kernel";
import type { Telemetry } from "@tributary/telemetry";
import { diskStateChanged, diskWriteFailed } from "../events.ts";

export type DiskWatchOptions = {
  readonly dir: string;
  readonly waitMsMax: number;
  /** Writes so many bytes, and removes them. */
  readonly probe: (bytes: number) => Promise<unknown>;
  readonly clock: Clock;
  readonly random: Random;
  readonly telemetry: Telemetry;
};

type Problem = { readonly code: string; readonly sinceMs: number; readonly bytes: number };

const CAUSES: Readonly<Record<string, string>> = {
  ENOSPC: "no space left (ENOSPC): add space to the volume, or lower keep.bytesTotalMax or keep.ttlDays",
  EDQUOT: "its quota is used up (EDQUOT): raise it, or lower keep.bytesTotalMax or keep.ttlDays",
  EROFS: "it is mounted read-only (EROFS): see the system's log for errors of the disk, and mount it for writing",
  EIO: "the disk fails (EIO): see the system's log, and replace the disk or the volume",
};
const BACKOFF: Backoff = { minMs: 250, maxMs: 5_000 };

export class DiskWatch {
  readonly #options: DiskWatchOptions;
  #problem: Problem | undefined;

  constructor(options: DiskWatchOptions) {
    this.#options = options;
    const gauge = { name: "tributary_archive_disk_failing", help: "1 while pictures cannot be written to the disk" };
    options.telemetry.gauge(gauge, () => Number(this.#problem !== undefined));
  }

  /** Why nothing can be written; undefined: something can, as far as is known. */
  get problem(): string | undefined {
    return this.#problem && `cannot write to ${this.#options.dir}: ${CAUSES[this.#problem.code]}`;
  }

  /** The result of `work`, which writes so many bytes. */
  async write<T>(bytes: number, work: () => Promise<T>, signal: AbortSignal): Promise<T | "disk-full"> {
    const { clock, random, waitMsMax } = this.#options;
    for (let attempt = 0; ; attempt++) {
      try {
        const result = await work();
        this.#works();
        return result;
      } catch (error) {
        const { sinceMs } = this.#fails(error, bytes); // D3
        if (clock.monotonicMs() - sinceMs >= waitMsMax) return "disk-full"; // D1
        await clock.sleep(backoffMs(BACKOFF, attempt, random), signal);
      }
    }
  }

  /** D2. */
  async probe(): Promise<void> {
    if (this.#problem === undefined) return;
    const { bytes } = this.#problem;
    try {
      await this.#options.probe(bytes);
      this.#works();
    } catch (error) {
      this.#fails(error, bytes);
    }
  }

  #works(): void {
    if (this.#problem === undefined) return;
    const { code } = this.#problem;
    this.#problem = undefined;
    this.#report("works", code, `pictures are written to ${this.#options.dir} again`);
  }

  /** Throws what is not the disk's. */
  #fails(error: unknown, bytes: number): Problem {
    const code = diskCodeOf(error);
    if (code === undefined) throw error;
    this.#options.telemetry.emit(diskWriteFailed, { code });
    const before = this.#problem;
    const problem: Problem = { code, sinceMs: before?.sinceMs ?? this.#options.clock.monotonicMs(), bytes };
    this.#problem = problem;
    if (before?.code !== code) this.#report("fails", code, this.problem ?? "");
    return problem;
  }

  #report(state: "works" | "fails", code: string, reason: string): void {
    this.#options.telemetry.emit(diskStateChanged, { state, code, reason });
  }
}

/** Stores wrap what the disk threw. */
function diskCodeOf(error: unknown): string | undefined {
  for (let at = error; at instanceof Error; at = at.cause) {
    const { code } = at as NodeJS.ErrnoException;
    if (code !== undefined && Object.hasOwn(CAUSES, code)) return code;
  }
  return undefined;
}
