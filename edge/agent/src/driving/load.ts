/**
 * Whether the machine's load is one up to which the safety case holds: SAFE is signalled by a timer at `staleAt` of a deadline, so this process may be late by the rest of it.
 * What the kernel says of the load is stated beside it.
 */
import { readFile } from "node:fs/promises";
import { monotonicMs } from "../device-time.ts";
import type { Heartbeat, Lateness } from "./heartbeat.ts";

const EVERY_MS = 1_000;
const PRESSURE = "/proc/pressure/cpu";
/** Of this process's first thread, which answers frames: ns on a processor, ns that it waited for one, and how often. */
const SCHEDSTAT = "/proc/self/schedstat";

export type Load = Lateness & {
  /** This process may be so late. */
  readonly lateMsMax: number;
  readonly isWithin: boolean;
  /** Since it was later than that; null: it never was. */
  readonly stalledAgoMs: number | null;
  /** Share of the last 10 s in which a task of this machine waited for a processor; null: the kernel does not say. */
  readonly cpuPressure: number | null;
  /** Share of the last second in which the agent's thread waited for a processor; null: the kernel does not say. */
  readonly runQueueShare: number | null;
};

export class LoadWatch {
  readonly #heartbeat: Pick<Heartbeat, "lateness" | "stalledAgoMs">;
  readonly #lateMsMax: number;
  readonly #onChanged: (load: Load) => void;
  #timer: NodeJS.Timeout | undefined;
  #waited: { readonly ns: number; readonly at: number } | null = null;
  #cpuPressure: number | null = null;
  #runQueueShare: number | null = null;
  #wasWithin = true;

  constructor(
    heartbeat: Pick<Heartbeat, "lateness" | "stalledAgoMs">,
    lateMsMax: number,
    onChanged: (load: Load) => void,
  ) {
    this.#heartbeat = heartbeat;
    this.#lateMsMax = lateMsMax;
    this.#onChanged = onChanged;
  }

  start(): void {
    this.#timer = setInterval(() => void this.#look(), EVERY_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  get now(): Load {
    const { lateness, stalledAgoMs } = this.#heartbeat;
    return {
      ...lateness,
      lateMsMax: this.#lateMsMax,
      isWithin: lateness.longestMs <= this.#lateMsMax,
      stalledAgoMs,
      cpuPressure: this.#cpuPressure,
      runQueueShare: this.#runQueueShare,
    };
  }

  async #look(): Promise<void> {
    const [pressure, waitedNs] = await Promise.all([readOrNull(PRESSURE), readOrNull(SCHEDSTAT)]);
    this.#cpuPressure = pressureIn(pressure ?? "");
    const ns = Number(waitedNs?.split(" ")[1] ?? Number.NaN);
    const at = monotonicMs();
    const before = this.#waited;
    this.#waited = Number.isFinite(ns) ? { ns, at } : null;
    this.#runQueueShare =
      before === null || this.#waited === null ? null : Math.min(1, (ns - before.ns) / 1e6 / (at - before.at));
    const load = this.now;
    if (load.isWithin === this.#wasWithin) return;
    this.#wasWithin = load.isWithin;
    this.#onChanged(load);
  }
}

const readOrNull = (file: string): Promise<string | null> => readFile(file, "utf8").catch(() => null);

/** `some avg10=1.25 ...` in percent. */
export function pressureIn(text: string): number | null {
  const percent = /^some avg10=(\d+(?:\.\d+)?)/m.exec(text)?.[1];
  return percent === undefined ? null : Number(percent) / 100;
}
