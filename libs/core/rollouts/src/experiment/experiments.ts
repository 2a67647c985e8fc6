/** All running experiments: from the log of events, the reports of devices and the time to the next events, the policies that devices
 * shall decide by, and the evidence. Part of the RolloutController, whose log and devices it shares; the same calls in the same
 * order give the same answers (G10).
 *
 * X1. A device is in one arm from the start to the end, and is analysed as assigned. Frames count for it that were decided by its
 *     arm's policy; what is lost so shows in the sample ratio: devices that report, against those that were assigned.
 * X2. Nothing is judged in the burn-in, nor before each arm has `DEVICES_MIN` devices with frames in every lane. What evidence is
 *     planned for is fixed at the first look, from the past and from the number of frames, never from their outcomes (judge.ts J2).
 * X3. The first verdict of an arm that the log counts holds, whatever later looks show, here or elsewhere: it is an event. The experiment is decided when
 *     each arm has one, or at its end.
 * X4. While the sample ratio is off, an arm's devices are silent, or frames of an arm are labelled otherwise than those of the control, no verdict is
 *     taken: what is left of an arm is not a random part of it. A device reports once its frames
 *     name its arm, in every arm alike: by the policy alone those of the control would report first, since it is mostly in force already.
 *     Devices whose agents know no arms do not report, in whichever arm. And desired states are written in an order that does not depend
 *     on the arm, so that a writer that is interrupted leaves none of them behind.
 * X5. When it ends, each device decides by the policy in force again. An adopted policy is rolled out afterwards, through a canary. */
import { POLICY } from "@tributary/contracts";
import { Failure, type Instant } from "@tributary/kernel";
import { comparisonDefaults } from "../comparison.ts";
import { type DeviceSlots, UNPINNED } from "../device-slots.ts";
import type { FleetMetrics } from "../fleet-metrics/fleet-metrics.ts";
import { evidenceOf, logsOf } from "./arm-evidence.ts";
import { decisionOf, whyOf } from "./decision.ts";
import type { ExperimentProposal } from "./events.ts";
import type { ExperimentEvidence } from "./evidence.ts";
import { type Experiment, judgedIn } from "./experiment.ts";
import type { ExperimentSettings } from "./judge.ts";
import { LabelledShare, type LabelledShareState } from "./labelled-share.ts";
import { Latencies, type LatenciesState } from "./latencies.ts";
import { apartFromArms, SampleRatio, type SampleRatioState } from "./sample-ratio.ts";
import {
  analysisOf,
  judgeOf,
  judgeWith,
  type Lanes,
  lanesOf,
  missingOf,
  policyMetrics,
  type Tracked,
  type TrackedArm,
} from "./tracked.ts";

/** What a frame took from capture to its final answer, and the cloud call that its policy wanted. */
export type FrameCost = { readonly latencyMs: number; readonly costMicros: number };

/** X4 */
const MISMATCH =
  "the devices that report are not those that were assigned: some arm's are silent, or decide by another policy";
/** A device without a frame for so long is silent. */
const SILENCE_MS = comparisonDefaults.silenceMs;

/** What a restarted instance needs, by uid. Of the counts of analyses, see FleetMetricsState. */
export type ExperimentsState = ReadonlyMap<string, ExperimentState>;
type ExperimentState = Pick<Tracked, "lookedAt" | "held"> & {
  readonly arms: ReadonlyMap<
    string,
    Pick<TrackedArm, "costMicros" | "reported" | "elsewhere" | "found" | "look"> & {
      readonly latencies: LatenciesState;
    }
  >;
  readonly planned: ExperimentSettings["planned"] | null;
  readonly ratio: SampleRatioState;
  readonly labelled: LabelledShareState;
};

export class Experiments {
  readonly #fleet: FleetMetrics;
  readonly #devices: DeviceSlots;
  readonly #lookEveryMs: number;
  readonly #known = new Map<string, Experiment>();
  readonly #running = new Map<string, Tracked>();
  /** Of the devices in running experiments. */
  readonly #byDevice = new Map<string, Tracked>();

  constructor(fleet: FleetMetrics, devices: DeviceSlots, lookEveryMs: number) {
    this.#fleet = fleet;
    this.#devices = devices;
    this.#lookEveryMs = lookEveryMs;
  }

  get all(): readonly Experiment[] {
    return [...this.#known.values()];
  }

  get(uid: string): Experiment | null {
    return this.#known.get(uid) ?? null;
  }

  /** The log counted an event: this is the state after it. */
  applied(experiment: Experiment, position: bigint): void {
    const { uid, phase, arms } = experiment;
    this.#known.set(uid, experiment);
    const known = this.#running.get(uid);
    if (phase === "Running" && known !== undefined) {
      Object.assign(known, { experiment, shown: null, decided: null }); // X3
      return;
    }
    if (phase === "Running") {
      const tracked = this.#track(experiment);
      // X4
      for (const deviceId of apartFromArms(uid, experiment.order)) {
        const { name, policyVersion } = tracked.armOf.get(deviceId) as TrackedArm;
        const why = `arm ${name} of experiment ${experiment.spec.metadata.name}`;
        const wanted = { generation: position, modelDigest: policyVersion, uid, arm: name, why };
        this.#devices.want(POLICY, this.#devices.entriesOf(POLICY, [deviceId]), wanted);
      }
      return;
    }
    this.#running.delete(uid);
    for (const { name, devices } of arms) {
      if (name !== arms[0]?.name) this.#fleet.end(analysisOf(uid, name));
      for (const deviceId of devices) this.#byDevice.delete(deviceId);
    }
    const entries = this.#devices.entriesOf(POLICY, experiment.order);
    const why = `experiment ${experiment.spec.metadata.name} ended`; // X5
    this.#devices.want(POLICY, entries, { generation: position, modelDigest: UNPINNED, uid, why });
  }

  state(): ExperimentsState {
    const stateOf = ({ arms, judge, ratio, labelled, lookedAt, held }: Tracked): ExperimentState => ({
      lookedAt,
      held,
      arms: new Map(
        arms.map(({ name, latencies, costMicros, reported, elsewhere, found, look }) => [
          name,
          { latencies: latencies.state(), costMicros, reported, elsewhere, found, look },
        ]),
      ),
      planned: judge?.planned ?? null,
      ratio: ratio.state(),
      labelled: labelled.state(),
    });
    return new Map([...this.#running].map(([uid, tracked]) => [uid, stateOf(tracked)]));
  }

  /** Continues from a state, before anything is folded here; `isRestored`: whether the counts of an analysis were. */
  restore(state: ExperimentsState, isRestored: (analysisUid: string) => boolean): void {
    for (const [uid, tracked] of this.#running) {
      const from = state.get(uid);
      const others = tracked.arms.slice(1);
      if (from === undefined || !others.every(({ name }) => isRestored(analysisOf(uid, name)))) continue;
      const { lookedAt, held, planned } = from;
      Object.assign(tracked, { lookedAt, held, shown: null, decided: null });
      if (planned !== null) tracked.judge = judgeWith(tracked.experiment, planned);
      for (const arm of tracked.arms) {
        const of = from.arms.get(arm.name);
        if (of === undefined) continue;
        arm.latencies.restore(of.latencies);
        Object.assign(arm, { costMicros: of.costMicros, found: of.found, look: of.look });
        for (const [deviceId, at] of of.reported) arm.reported.set(deviceId, at);
        for (const deviceId of of.elsewhere) arm.elsewhere.add(deviceId);
      }
      tracked.ratio.restore(from.ratio);
      tracked.labelled.restore(from.labelled);
    }
  }

  /** Forgets the ended ones that the log has forgotten. */
  keep(isKept: (uid: string) => boolean): void {
    for (const uid of this.#known.keys()) if (!isKept(uid)) this.#known.delete(uid);
  }

  /** A batch of a device's frames: by which policy and in which arm it says that they were decided. */
  framesOf(deviceId: string, policyVersion: string, arm: string, at: Instant): void {
    const tracked = this.#byDevice.get(deviceId);
    const assigned = tracked?.armOf.get(deviceId);
    if (tracked === undefined || assigned === undefined) return;
    const { createdAt, spec } = tracked.experiment;
    if (at < createdAt) return;
    if (policyVersion === assigned.policyVersion && arm === assigned.name)
      assigned.reported.set(deviceId, Math.max(at, assigned.reported.get(deviceId) ?? at));
    if (at < createdAt + spec.spec.burnIn) return;
    // An agent of before knows no arms, and decides by the policy that it is sent.
    const isElsewhere = policyVersion !== assigned.policyVersion || (arm !== assigned.name && arm !== "default");
    if (isElsewhere) assigned.elsewhere.add(deviceId);
    else assigned.elsewhere.delete(deviceId);
  }

  /** A frame that the random sample drew, or one of these that has a label and an answer by now. `expected`: q of its prediction. `by` -1: its label
   * was withdrawn. */
  sampled(
    deviceId: string,
    policyVersion: string,
    what: "drawn" | "labelled",
    expected: number,
    at: Instant,
    by: 1 | -1 = 1,
  ): void {
    const tracked = this.#byDevice.get(deviceId);
    const arm = tracked?.armOf.get(deviceId);
    if (tracked === undefined || arm?.policyVersion !== policyVersion || at < tracked.experiment.createdAt) return;
    tracked.labelled.add(tracked.arms.indexOf(arm), deviceId, what, expected, by);
  }

  /** Costs of a frame that this policy decided. */
  settled(deviceId: string, policyVersion: string, at: Instant, { latencyMs, costMicros }: FrameCost): void {
    const tracked = this.#byDevice.get(deviceId);
    const arm = tracked?.armOf.get(deviceId);
    if (tracked === undefined || arm?.policyVersion !== policyVersion || at < tracked.experiment.createdAt) return;
    arm.latencies.add(latencyMs);
    if (costMicros >= 0) arm.costMicros += costMicros;
  }

  /** Looks at each whose time has come, in record time. */
  look(now: Instant): void {
    for (const tracked of this.#running.values()) {
      if (now - tracked.lookedAt < this.#lookEveryMs) continue;
      Object.assign(tracked, { lookedAt: now, shown: null, decided: null });
      this.#look(tracked, now);
    }
  }

  /** What to append now, at most one event an experiment. */
  propose(now: Instant): readonly ExperimentProposal[] {
    return [...this.#running.values()].flatMap((tracked) => {
      tracked.decided ??= this.#decision(tracked, now);
      return tracked.decided === null ? [] : [tracked.decided];
    });
  }

  #decision(tracked: Tracked, now: Instant): ExperimentProposal | null {
    const { uid, version } = tracked.experiment;
    const found = tracked.arms.find(
      (arm) => arm.found !== null && judgedIn(tracked.experiment, arm.name) === null,
    )?.found;
    if (found != null) return { uid, version: version + 1, change: { kind: "experiment-arm-judged", ...found } };
    const decision = decisionOf(tracked, now);
    if (decision === null) return null;
    const evidence = evidenceOf(tracked, now, decision.why);
    return { uid, version: version + 1, change: { kind: "experiment-decided", ...decision, evidence } };
  }

  /** The event of a person who ends it. Throws a Failure. */
  stop(uid: string, by: string, reason: string, now: Instant): ExperimentProposal {
    const experiment = this.get(uid);
    if (experiment === null) {
      const what = `there is no experiment ${uid}; list them to see which there are`;
      throw new Failure("experiment-unknown", "give-up", what);
    }
    const tracked = this.#running.get(uid);
    if (tracked === undefined) {
      const what = `experiment ${experiment.spec.metadata.name} has ended already: ${experiment.why}`;
      throw new Failure("experiment-command-refused", "give-up", what);
    }
    const why = `stopped by ${by}${reason === "" ? "" : `: ${reason}`}`.slice(0, 500);
    const evidence = evidenceOf(tracked, now, why);
    return { uid, version: experiment.version + 1, change: { kind: "experiment-stopped", why, evidence } };
  }

  /** As of the last look; of an ended one, of its end. */
  evidence(uid: string): ExperimentEvidence | null {
    const tracked = this.#running.get(uid);
    if (tracked === undefined) return this.get(uid)?.evidence ?? null;
    tracked.shown ??= evidenceOf(tracked, null, whyOf(tracked));
    return tracked.shown;
  }

  #track(experiment: Experiment): Tracked {
    const { uid, createdAt } = experiment;
    const arms = experiment.arms.map(
      ({ name, policyVersion, devices }): TrackedArm => ({
        name,
        policyVersion,
        entries: this.#devices.entriesOf(POLICY, devices),
        latencies: new Latencies(),
        costMicros: 0,
        reported: new Map(),
        elsewhere: new Set(),
        found: null,
        look: null,
      }),
    );
    const [control, ...others] = experiment.arms;
    const analyses = others.map(({ name, policyVersion, devices }) =>
      this.#fleet.start({
        uid: analysisOf(uid, name),
        startedAt: createdAt,
        control: control?.devices ?? [],
        canary: devices,
        metrics: policyMetrics,
        models: { candidate: policyVersion, stable: control?.policyVersion ?? "" },
        ownOnly: true,
      }),
    );
    const armOf = new Map(arms.flatMap((arm) => arm.entries.map(({ deviceId }) => [deviceId, arm] as const)));
    const tracked: Tracked = {
      experiment,
      arms,
      analyses,
      armOf,
      judge: null,
      ratio: new SampleRatio(experiment),
      labelled: new LabelledShare(experiment.arms.map(({ devices }) => devices)),
      lookedAt: Number.NEGATIVE_INFINITY,
      held: "no look yet",
      shown: null,
      decided: null,
    };
    this.#running.set(uid, tracked);
    for (const deviceId of experiment.order) this.#byDevice.set(deviceId, tracked);
    return tracked;
  }

  #look(tracked: Tracked, now: Instant): void {
    const { experiment, arms, analyses, ratio, labelled } = tracked;
    const { createdAt, spec } = experiment;
    const sinceMs = now - createdAt;
    if (sinceMs < spec.spec.burnIn) {
      tracked.held = "in the burn-in";
      return;
    }
    const lanes = analyses.map((analysis) => (analysis === null ? null : lanesOf(analysis)));
    ratio.reported(arms.map(({ reported }) => reported));
    labelled.look(arms.map(({ name }) => name));
    const heardFrom = now - SILENCE_MS;
    const silence = ratio.silence((i, deviceId) => (arms[i]?.reported.get(deviceId) ?? 0) >= heardFrom);
    const unlike = ratio.isMismatch ? MISMATCH : labelled.isUnlike ? labelled.why : silence;
    const missing = missingOf(arms, lanes);
    if (missing === null) {
      tracked.judge ??= judgeOf(experiment, lanes as readonly Lanes[], sinceMs); // X2
      for (const [i, arm] of arms.slice(1).entries()) {
        const { control, canary } = lanes[i] as Lanes;
        arm.look = tracked.judge.look(sinceMs, control, canary) ?? arm.look;
        if (arm.look === null || unlike !== null) continue;
        const { verdict, because } = arm.look;
        if (verdict === "undecided") continue;
        arm.found ??= { arm: arm.name, verdict, because, logs: logsOf(arm.look), lookedAt: now }; // X3
      }
    }
    tracked.held = ratio.isMismatch ? MISMATCH : (missing ?? unlike);
  }
}
