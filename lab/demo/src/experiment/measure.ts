/**
 * What the machine and the models do before anything is compared: how far away the cloud may be, how long answers take near and far, and how
 * often edge and cloud are right on labelled frames.
 *
 * The cloud is put where its answers meet the SLA, and 200 ms farther away many do not. A fixed place would be near enough on a fast
 * machine, and too far on a busy one.
 */
import { type Classifications, type FinalAnswer, type GroundTruth, topics } from "@tributary/contracts";
import { type Following, follow, followAll, type PartitionReader } from "@tributary/kafka";
import { Failure, formatFrameId, systemClock } from "@tributary/kernel";
import { followContext, quantilesOf } from "@tributary/testing";
import { settings } from "./settings.ts";
import type { Cloud, ExperimentOptions, Running } from "./start.ts";

/** Of frames that all were sent, answers late ones as well. */
export type Latency = { readonly frames: number; readonly medianMs: number; readonly lateShare: number };

export type Measured = {
  /** The SLA: of the policy in force. */
  readonly deadlineMs: number;
  /** Of the near cloud. */
  readonly distanceMs: number;
  readonly near: Latency;
  readonly far: Latency;
  /** Labelled frames that both answered, and the share that each had right. */
  readonly labelled: number;
  readonly edge: number;
  readonly cloud: number;
};

/** After the cloud moved: answers of calls made before. */
const MOVED_MS = 2_000;
const LATE_SHARE_MAX = 0.2;
const DISTANCE_MS_FIRST = 500;

/** The cloud is far afterwards. */
export async function measure(
  { log, signal }: ExperimentOptions,
  { reader }: Pick<Running, "reader">,
  { away }: Cloud,
  deadlineMs: number,
): Promise<Measured> {
  const answers = new Answers();
  try {
    await answers.start(reader);
    log(`${settings.warmUpMs / 1_000} s of frames, until models and connections are no longer new`);
    await systemClock.sleep(settings.warmUpMs, signal);
    const taken = async (distanceMs: number) => {
      away.distanceMs = distanceMs;
      await systemClock.sleep(MOVED_MS, signal);
      answers.takeLatencies();
      await systemClock.sleep(settings.measurementMs - MOVED_MS, signal);
      return answers.takeLatencies();
    };
    let distanceMs = DISTANCE_MS_FIRST;
    for (let i = 0; i < settings.placements; i++) {
      const latencies = await taken(distanceMs + settings.addedMs);
      const farther = fartherMs(latencies, deadlineMs);
      log(`the cloud at ${distanceMs} + ${settings.addedMs} ms: ${latencyWords(latencyOf(latencies, deadlineMs))}`);
      distanceMs = Math.max(0, Math.round(distanceMs + farther));
    }
    const latencies: { near: number[]; far: number[] } = { near: [], far: [] };
    for (let i = 0; i < settings.turns; i++) {
      const where = i % 2 === 0 ? "near" : "far";
      const own = await taken(where === "near" ? distanceMs : distanceMs + settings.addedMs);
      latencies[where].push(...own);
      log(`the cloud is ${where}: ${latencyWords(latencyOf(own, deadlineMs))}`);
    }
    const { labelled, edgeRight, cloudRight } = answers.counts;
    const [near, far] = [latencyOf(latencies.near, deadlineMs), latencyOf(latencies.far, deadlineMs)];
    refuseBusy(near, deadlineMs);
    return { deadlineMs, distanceMs, near, far, labelled, edge: edgeRight / labelled, cloud: cloudRight / labelled };
  } finally {
    await answers.stop();
  }
}

/** How much farther the cloud may be for the wanted share of late answers. A late answer is settled at the deadline, so of those only the
 * share is known: answers are spread evenly, so a part of the spread nearer makes that part of them early. */
function fartherMs(latencies: readonly number[], deadlineMs: number): number {
  const [longest] = quantilesOf(latencies, 1 - settings.lateShare);
  if (longest < deadlineMs) return deadlineMs - longest;
  return (settings.lateShare - latencyOf(latencies, deadlineMs).lateShare) * settings.spreadMs;
}

export const latencyWords = ({ medianMs, lateShare }: Latency): string =>
  `its answers took ${medianMs.toFixed(0)} ms in the median, and ${(100 * lateShare).toFixed(1)} % were late`;

function latencyOf(taken: readonly number[], deadlineMs: number): Latency {
  const late = taken.filter((ms) => ms >= deadlineMs).length;
  return { frames: taken.length, medianMs: quantilesOf(taken, 0.5)[0], lateShare: late / taken.length };
}

function refuseBusy(near: Latency, deadlineMs: number): void {
  if (near.lateShare <= LATE_SHARE_MAX) return;
  const what = `with a near cloud ${latencyWords(near)}: the machine is too busy for an SLA of ${deadlineMs} ms`;
  throw new Failure("machine-busy", "ask-a-person", `${what}; end other programs, and start it again`);
}

/** Frames that wait for their label; the measurement has a few thousand. */
const WAITING_MAX = 50_000;

/** Final answers, and their labels. */
class Answers {
  readonly #stopping = new AbortController();
  readonly #waiting = new Map<string, Pick<FinalAnswer, "edgeLabel" | "cloudLabel">>();
  #following: Following | undefined;
  #latencies: number[] = [];
  readonly counts = { labelled: 0, edgeRight: 0, cloudRight: 0 };

  async start(reader: PartitionReader): Promise<void> {
    const context = followContext(reader, this.#stopping.signal);
    this.#following = await followAll([
      follow(context, topics.classifications, (batch) => batch && this.#answered(batch)),
      follow(context, topics.groundTruth, (truth) => truth && this.#labelled(truth)),
    ]);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#following?.ended;
  }

  /** Of all answers since the last call, in ms: the sample draws every frame, so all were sent. */
  takeLatencies(): readonly number[] {
    const taken = this.#latencies;
    this.#latencies = [];
    return taken;
  }

  #answered({ deviceId, bootId, answers }: Classifications): void {
    for (const { cameraId, frameSeq, edgeLabel, cloudLabel, latencyMs } of answers) {
      this.#latencies.push(latencyMs);
      if (cloudLabel === null) continue;
      if (this.#waiting.size >= WAITING_MAX) continue;
      this.#waiting.set(formatFrameId({ deviceId, bootId, cameraId, frameSeq }), { edgeLabel, cloudLabel });
    }
  }

  /** The gateway takes a label once the frame has its answer. */
  #labelled({ label, ...frame }: GroundTruth): void {
    const frameId = formatFrameId(frame);
    const answer = this.#waiting.get(frameId);
    if (answer === undefined) return;
    this.#waiting.delete(frameId);
    this.counts.labelled += 1;
    if (answer.edgeLabel === label) this.counts.edgeRight += 1;
    if (answer.cloudLabel === label) this.counts.cloudRight += 1;
  }
}
