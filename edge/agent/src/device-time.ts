/**
 * The device's time: monotonic since the machine's boot, and the wall clock only while it is known to be synchronised.
 * A Pi has no clock of its own; until NTP has set it, its wall clock is a guess.
 */
import { existsSync, readFileSync } from "node:fs";
import { uptime } from "node:os";
import type { DeviceTime } from "./outbox/age.ts";

/** `auto`: synchronised once systemd-timesyncd reports it. The others are for machines that keep time another way. */
export type ClockMode = "auto" | "synchronized" | "unsynchronized";

const TIMESYNC_MARK = "/run/systemd/timesync/synchronized";
const MACHINE_BOOT = "/proc/sys/kernel/random/boot_id";
const LOOK_AGAIN_MS = 10_000;

/** Process.hrtime is CLOCK_MONOTONIC on Linux, so it continues across restarts of the agent. */
export const monotonicMs = (): number => Number(process.hrtime.bigint() / 1_000n) / 1_000;

/** Since the machine's boot. It goes on while the machine sleeps, which CLOCK_MONOTONIC does not. */
export const uptimeMs = (): number => Math.round(uptime() * 1_000);

export function deviceTime(mode: ClockMode): () => DeviceTime {
  const machineBoot = machineBootOf();
  let isSynchronized = mode === "synchronized";
  let lookedAtMs = Number.NEGATIVE_INFINITY;
  return () => {
    const nowMs = monotonicMs();
    if (mode === "auto" && nowMs - lookedAtMs >= LOOK_AGAIN_MS) {
      lookedAtMs = nowMs;
      isSynchronized = existsSync(TIMESYNC_MARK);
    }
    return { machineBoot, monotonicMs: nowMs, wallMs: isSynchronized ? Date.now() : null };
  };
}

/** Where the kernel does not report it, every process counts as a boot of its own: ages across restarts are then unknown. */
function machineBootOf(): string {
  try {
    return readFileSync(MACHINE_BOOT, "utf8").trim();
  } catch {
    return `process-${process.pid}-${Date.now()}`;
  }
}
