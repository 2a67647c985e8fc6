/** How fast an attack sends. Each of these continues until its process is killed. */
import { type Random, seededRandom } from "@tributary/kernel";

/** Messages in flight: more than the bridge reads from one device. */
const WINDOW = 32;

export const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** As fast as acknowledgements arrive. */
export async function flood(one: () => Promise<unknown>, window = WINDOW): Promise<void> {
  const worker = async (): Promise<void> => {
    for (;;) await one().catch(() => pause(50));
  };
  await Promise.all(Array.from({ length: window }, worker));
}

/** Calls that were missed while the process was stopped are not made up for. */
export async function atRate(perSecond: number, one: () => Promise<unknown>): Promise<void> {
  for (let [due, lastMs] = [0, performance.now()]; ; ) {
    await pause(10);
    const nowMs = performance.now();
    due += (Math.min(nowMs - lastMs, 1_000) / 1_000) * perSecond;
    lastMs = nowMs;
    for (; due >= 1; due--) one().catch(() => {});
  }
}

export type Burst = { readonly calls: number; readonly overMs: number };

/** Bursts of unequal sizes, each drawn by seed: some at once, others spread, and all of them the same on every run. */
export async function inBursts(bursts: readonly Burst[], one: () => Promise<unknown>, seed = 35): Promise<void> {
  const random: Random = seededRandom(seed);
  for (;;) {
    const { calls, overMs } = bursts[Math.floor(random() * bursts.length)] as Burst;
    const isSpread = random() < 0.5;
    const fromMs = performance.now();
    for (let i = 0; i < calls; i++) {
      one().catch(() => {});
      if (isSpread) await pause(overMs / calls);
    }
    await pause(Math.max(0, overMs - (performance.now() - fromMs)));
  }
}
