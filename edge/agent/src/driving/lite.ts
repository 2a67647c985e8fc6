/**
 * LITE: the small model that stands in for the full one. It is resident, so it answers at once, and what it takes at worst is measured
 * before it is relied on.
 *
 * It must have the labels of the full model, since its answers stand for them, and take at most `WORST_SHARE` of the deadline: it is asked
 * when half of that is over, and must have answered before .8 of it. As the promise has it, one frame of 20 may take longer, as that which
 * meets a collection of garbage.
 */
import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import type { FirmTask } from "@tributary/driving";
import { Failure } from "@tributary/kernel";
import { residentBytesOf } from "@tributary/kernel/processes";
import { readPackageFile } from "@tributary/model-store";
import type { LoadedPackage } from "../model-runtime.ts";
import type { Slot } from "../slots.ts";

export const WORST_SHARE = 0.3;
/** First runs allocate and compile. */
const WARM_UP = 50;
const FRAMES = 100;
/** A machine that is busy while it starts must not decide: the best round counts. */
const ROUNDS = 5;

/** By the shortest deadline of a camera, in ms. */
export type Promised = { readonly deadlineMs: number; readonly firm: FirmTask };

/** From the request to the answer, in ms. */
export type Measured = {
  readonly medianMs: number;
  /** What `met` of any `of` frames in a row took at most. */
  readonly worstMs: number;
  readonly longestMs: number;
  readonly memoryMiB: number;
  /** Bytes of the picture: decoding is most of the time. */
  readonly pictureBytes: number;
};

/** Throws Failure where the two cannot stand for each other. */
export function mustHaveLabelsOf(full: Slot["pkg"], lite: Slot["pkg"]): void {
  const isSame = full.labels.length === lite.labels.length && full.labels.every((label, i) => label === lite.labels[i]);
  if (isSame) return;
  const [own, other] = [lite, full].map(
    ({ manifest: { name }, labels }) => `${name} has ${labels.length}: ${labels.slice(0, 5).join(", ")}`,
  );
  throw new Failure(
    "lite-labels-differ",
    "give-up",
    `LITE must have the labels of the model; ${own} ...; ${other} ...`,
  );
}

/** Throws Failure, with the figure. */
export function mustBeFastEnough(
  { pkg }: Pick<Slot, "pkg">,
  { worstMs, medianMs, longestMs }: Measured,
  { deadlineMs, firm: { met, of } }: Promised,
): void {
  if (worstMs <= WORST_SHARE * deadlineMs) return;
  const allowed = `${WORST_SHARE * deadlineMs} ms, ${WORST_SHARE} of the shortest deadline`;
  const worst = `${worstMs.toFixed(1)} ms at worst for ${met} of any ${of} frames`;
  const took = `${worst} (median ${medianMs.toFixed(1)}, longest ${longestMs.toFixed(1)} ms of ${FRAMES}, the best of ${ROUNDS} rounds)`;
  throw new Failure("lite-too-slow", "give-up", `LITE ${pkg.manifest.name} takes ${took}; allowed are ${allowed}`);
}

/** Of the golden frames, or of a JPEG as the cameras make them. Throws Failure where it cannot answer. */
export async function measured(
  { pkg, model }: LoadedPackage,
  picture: string | undefined,
  { deadlineMs, firm }: Promised,
): Promise<Measured> {
  const pictures =
    picture === undefined
      ? await Promise.all(pkg.golden.frames.map(({ jpeg }) => readPackageFile(pkg, jpeg)))
      : [await readFile(picture)];
  const timeOf = async (i: number) => {
    const startedMs = performance.now();
    const result = await model.infer(pictures[i % pictures.length] as Uint8Array, { cells: true });
    if (!result.ok) throw new Failure(result.code, "give-up", `driving.lite: ${result.message}`);
    const tookMs = performance.now() - startedMs;
    // As a camera's frames come. Without rests Linux throttles threads of a real-time class, 50 ms in each second.
    await sleep(tookMs);
    return tookMs;
  };
  for (let i = 0; i < WARM_UP; i++) await timeOf(i);
  const none = Number.POSITIVE_INFINITY;
  let best = { medianMs: none, worstMs: none, longestMs: none };
  for (let round = 0; round < ROUNDS && best.worstMs > WORST_SHARE * deadlineMs; round++) {
    const times: number[] = [];
    for (let i = 0; i < FRAMES; i++) times.push(await timeOf(i));
    const worstMs = worstOf(times, firm);
    if (worstMs >= best.worstMs) continue;
    best = { medianMs: sorted(times)[FRAMES >> 1] as number, worstMs, longestMs: Math.max(...times) };
  }
  return {
    ...best,
    memoryMiB: Math.round(residentBytesOf(model.pid) / 2 ** 20),
    pictureBytes: Math.max(...pictures.map(({ length }) => length)),
  };
}

/** LITE's worst time is below, and it is found before a second frame of a camera with a short deadline is late. */
export const hangsMsOf = (deadlineMs: number): number => Math.max(HANGS_MS_MIN, deadlineMs / 2);
const HANGS_MS_MIN = 100;

/** For a spare of LITE: what one process holds once more while it loads, and a rest for everything else. */
export const hasMemoryFor = (memoryMiB: number): boolean =>
  process.availableMemory() / 2 ** 20 >= 2 * memoryMiB + MEMORY_REST_MIB;
const MEMORY_REST_MIB = 64;

const sorted = (times: readonly number[]) => times.toSorted((a, b) => a - b);

/** What `met` of any `of` times in a row are at most. */
export function worstOf(times: readonly number[], { met, of }: FirmTask): number {
  const windows = Array.from({ length: Math.max(1, times.length - of + 1) }, (_, i) => times.slice(i, i + of));
  return Math.max(...windows.map((window) => sorted(window)[Math.min(met, window.length) - 1] as number));
}
