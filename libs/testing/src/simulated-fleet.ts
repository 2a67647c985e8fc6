/** Devices of a fleet as Kafka sees them: they follow devices.desired.v1 and fill the topics that the bridge would fill. A
 * device ignores an older generation than it has seen, and one that it has already. The generations that it ignored, and every
 * model that it ever ran, are kept for assertions. The digest of a model sets its behaviour (`ModelBehaviour`), so a run is the
 * same whichever instance moves models. A window reports any number of frames, so a rollout is judged in seconds.
 *
 * With `policies`, devices decide by the policy that the bridge would send them, whose version sets the behaviour of the system
 * (`PolicyBehaviour`); the fleet then also writes the router's final answers, and the labels. */
import {
  DeviceDesired,
  type DeviceReported,
  type EdgePrediction,
  type RoutingPolicy,
  topics,
} from "@tributary/contracts";
import {
  type FollowContext,
  type Following,
  follow,
  followAll,
  type InRecord,
  type OutRecord,
  type PartitionReader,
  type RecordSink,
} from "@tributary/kafka";
import { makeBootId, type Random } from "@tributary/kernel";
import { someDigest, somePrediction, somePredictions, someRegistration, someReported } from "./builders.ts";
import { decidedFrame, type PolicyBehaviour, TRUE_LABEL, WRONG_LABEL } from "./decided-frames.ts";
import { followContext } from "./memory-kafka.ts";

export type ModelBehaviour = {
  /** Share of frames in time, 0 to 1. */
  readonly inTime?: number;
  /** Share of labelled frames that are right; absent: nothing is labelled. */
  readonly accuracy?: number;
  /** Crashes of a device in one window. */
  readonly crashShare?: number;
  /** Devices refuse it, with this code. */
  readonly refusedAs?: string;
  /** Devices revert it by themselves, with this code. */
  readonly revertedAs?: string;
};

export type SimulatedFleetOptions = {
  readonly reader: PartitionReader;
  readonly sink: RecordSink;
  readonly random: Random;
  /** Device ids. */
  readonly devices: readonly string[];
  readonly hardwareClass?: string;
  /** Fingerprints; of today's DeviceDesired by default. */
  readonly acceptedSchemas?: readonly string[];
  readonly modelDigest: string;
  readonly behaviours: Readonly<Record<string, ModelBehaviour>>;
  /** By version. Absent: devices decide by none. */
  readonly policies?: Readonly<Record<string, PolicyBehaviour>>;
  /** Of a window, on each device. */
  readonly framesPerWindow?: number;
  readonly labelledPerWindow?: number;
  readonly windowMs?: number;
};

export type SimulatedDevice = {
  readonly deviceId: string;
  bootId: bigint;
  generation: bigint;
  modelDigest: string;
  /** It decides by this one; empty: none. */
  policyVersion: string;
  arm: string;
  /** Reports one model and runs another. */
  claims: string | null;
  /** Neither sends nor receives. */
  isDisconnected: boolean;
  /** Takes commands, and sends no frames. */
  sendsNoFrames: boolean;
  update: DeviceReported["update"];
  /** Every model that it ever ran, in order. */
  readonly ran: string[];
  /** Every policy that it ever decided by, in order. */
  readonly decidedBy: string[];
  /** Generations that it received and did not follow, since it had seen a newer one. */
  readonly ignored: bigint[];
  seqs: { reported: bigint; metrics: bigint; predictions: bigint; frames: bigint };
  /** Its retained desired state. */
  retained: DeviceDesired | null;
};

export class SimulatedFleet {
  readonly devices: ReadonlyMap<string, SimulatedDevice>;
  readonly #options: SimulatedFleetOptions;
  readonly #stop = new AbortController();
  #ended: Promise<unknown> = Promise.resolve();
  /** Reports that failed to be written are written again with the next window. */
  readonly #unreported = new Set<string>();
  /** By key, and by version. */
  readonly #inForce = new Map<string, RoutingPolicy>();
  readonly #versions = new Map<string, RoutingPolicy>();

  constructor(options: SimulatedFleetOptions) {
    this.#options = options;
    this.devices = new Map(
      options.devices.map((deviceId, i) => [deviceId, deviceOf(deviceId, i, options.modelDigest)]),
    );
  }

  get all(): readonly SimulatedDevice[] {
    return [...this.devices.values()];
  }

  running(modelDigest: string): readonly string[] {
    return this.all.filter((device) => device.modelDigest === modelDigest).map(({ deviceId }) => deviceId);
  }

  decidingBy(policyVersion: string): readonly string[] {
    return this.all.filter((device) => device.policyVersion === policyVersion).map(({ deviceId }) => deviceId);
  }

  /** Registers every device, lets it report, and follows desired states. */
  async start(): Promise<void> {
    const { reader, sink } = this.#options;
    await sink.send(
      this.all.map(({ deviceId }) => ({
        topic: topics.registry.name,
        key: deviceId,
        value: topics.registry.codec.encodeConfluent(
          someRegistration({ deviceId, hardwareClass: this.#options.hardwareClass ?? "x64" }),
        ),
      })),
    );
    await sink.send(this.all.map((device) => this.#report(device)));
    const context = followContext(reader, this.#stop.signal);
    const following = await followAll([
      follow(context, topics.desired, (desired, { key }) => {
        const device = this.devices.get(key ?? "");
        if (device === undefined || desired === null) return;
        device.retained = desired;
        if (!device.isDisconnected) this.#receive(device, desired);
      }),
      ...(this.#options.policies === undefined ? [] : this.#followPolicies(context)),
    ]);
    this.#ended = Promise.all([following.ended, this.#live()]);
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#ended;
  }

  /** The device connects again, and receives its retained desired state. */
  returns(deviceId: string): void {
    const device = this.devices.get(deviceId) as SimulatedDevice;
    device.isDisconnected = false;
    if (device.retained !== null) this.#receive(device, device.retained);
  }

  #followPolicies(context: FollowContext): readonly Promise<Following>[] {
    const keep = (policies: Map<string, RoutingPolicy>) => (policy: RoutingPolicy | null, record: InRecord) => {
      if (policy === null) policies.delete(record.key ?? "");
      else policies.set(record.key ?? "", policy);
    };
    return [
      follow(context, topics.policies, keep(this.#inForce)),
      follow(context, topics.policyVersions, keep(this.#versions)),
    ];
  }

  /** What the bridge sends: the policy that the desired state names, if it is known and of the device's model; else the newest in force. */
  #policyFor({ retained, modelDigest }: SimulatedDevice): string {
    const named = this.#versions.get(retained?.policyVersion ?? "");
    if (named?.modelDigest === modelDigest) return named.policyVersion;
    const own = [...this.#inForce.values()].filter((policy) => policy.modelDigest === modelDigest);
    return own.toSorted((a, b) => b.createdAt - a.createdAt)[0]?.policyVersion ?? "";
  }

  #receive(device: SimulatedDevice, desired: DeviceDesired): void {
    if (desired.generation < device.generation) device.ignored.push(desired.generation);
    if (desired.generation <= device.generation) return;
    device.generation = desired.generation;
    device.arm = desired.arm;
    this.#unreported.add(device.deviceId);
    const wanted = desired.slots.perception;
    if (wanted === undefined) return;
    const { modelDigest } = wanted;
    const { refusedAs, revertedAs } = this.#options.behaviours[modelDigest] ?? {};
    const state = { generation: desired.generation, slot: "perception", modelDigest, bytesDone: 1n, bytesAll: 1n };
    const code = refusedAs ?? revertedAs ?? "";
    const phase = refusedAs !== undefined ? "REFUSED" : revertedAs !== undefined ? "REVERTED" : "COMMITTED";
    device.update = { ...state, phase, code, reason: code === "" ? "" : `simulated ${code}` };
    if (phase !== "REFUSED") device.ran.push(modelDigest);
    if (phase === "COMMITTED") device.modelDigest = modelDigest;
  }

  #decide(device: SimulatedDevice): void {
    const policyVersion = this.#policyFor(device);
    if (policyVersion === device.policyVersion) return;
    device.policyVersion = policyVersion;
    device.decidedBy.push(policyVersion);
    this.#unreported.add(device.deviceId);
  }

  async #live(): Promise<void> {
    const { windowMs = 250, sink } = this.#options;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      await new Promise((resolve) => setTimeout(resolve, windowMs));
      const present = this.all.filter(({ isDisconnected }) => !isDisconnected);
      for (const device of present) this.#decide(device);
      const reports = present.filter(({ deviceId }) => this.#unreported.has(deviceId));
      const windows = present
        .filter(({ sendsNoFrames }) => !sendsNoFrames)
        .flatMap((device) => this.#window(device, windowMs));
      try {
        await sink.send([...reports.map((device) => this.#report(device)), ...windows]);
        for (const { deviceId } of reports) this.#unreported.delete(deviceId);
      } catch {
        // Kafka is unavailable: a report is repeated, windows are lost as in a full outbox.
      }
    }
  }

  #report(device: SimulatedDevice): OutRecord {
    const { deviceId, bootId, generation, claims, modelDigest, policyVersion, update } = device;
    device.seqs.reported += 1n;
    const reported = someReported({
      deviceId,
      bootId,
      generation,
      policyVersion,
      update,
      seq: device.seqs.reported,
      hardwareClass: this.#options.hardwareClass ?? "x64",
      slots: {
        perception: { modelDigest: claims ?? modelDigest, modelName: "edge", modelVersion: modelDigest.slice(0, 6) },
      },
      acceptedSchemas: this.#options.acceptedSchemas ?? [DeviceDesired.current.fingerprint],
    });
    return { topic: topics.reported.name, key: deviceId, value: topics.reported.codec.encodeConfluent(reported) };
  }

  #window(device: SimulatedDevice, windowMs: number): OutRecord[] {
    const { behaviours, policies, framesPerWindow = 20, labelledPerWindow = 1, random } = this.#options;
    const { deviceId, bootId, modelDigest, policyVersion, seqs } = device;
    const { inTime = 0.999, crashShare = 0 } = behaviours[modelDigest] ?? {};
    seqs.metrics += 1n;
    seqs.predictions += 1n;
    const crashes = random() < crashShare ? 1 : 0;
    // Noise of a random sample of this size.
    const spread = Math.sqrt(framesPerWindow * inTime * (1 - inTime)) * (random() + random() + random() - 1.5) * 2;
    const missed = Math.min(framesPerWindow, Math.max(0, Math.round(framesPerWindow * (1 - inTime) + spread)));
    const metrics = topics.metrics.codec.encodeConfluent({
      deviceId,
      bootId,
      seq: seqs.metrics,
      windowMs,
      ageMs: 0,
      clockState: "SYNCHRONIZED",
      device: { model_losses: { n: 1n, sum: crashes, sumSq: crashes } },
      models: [],
    });
    const frames = Array.from({ length: framesPerWindow }, (_, i) => {
      seqs.frames += 1n;
      const latencyMs = framesPerWindow - i <= missed ? LATE_MS : IN_TIME_MS;
      return {
        frameSeq: seqs.frames,
        ageMs: 1,
        sampleDrawn: i < labelledPerWindow,
        samplePropensity: 0.02,
        latencyMs,
      };
    });
    return [
      { topic: topics.metrics.name, key: deviceId, value: metrics },
      ...(policies?.[policyVersion] === undefined
        ? this.#ofModel(device, frames)
        : this.#ofPolicy(device, frames, policies[policyVersion])),
    ];
  }

  #ofModel(device: SimulatedDevice, frames: readonly Frame[]): readonly OutRecord[] {
    const { behaviours, random } = this.#options;
    const { accuracy } = behaviours[device.modelDigest] ?? {};
    const truths: OutRecord[] = [];
    const predictions = frames.map((frame) => {
      const isRight = random() < (accuracy ?? 1);
      // The predictions of all frames have the same label.
      if (frame.sampleDrawn && accuracy !== undefined)
        truths.push(truthOf(device, frame.frameSeq, isRight ? TRUE_LABEL : WRONG_LABEL));
      return somePrediction(frame);
    });
    return [predictionsOf(device, predictions), ...truths];
  }

  #ofPolicy(device: SimulatedDevice, frames: readonly Frame[], behaviour: PolicyBehaviour): readonly OutRecord[] {
    const { deviceId, bootId } = device;
    const decided = frames.map((frame) => decidedFrame(frame, device, behaviour, this.#options.random));
    const labelled = behaviour.accuracy === undefined ? [] : frames.filter(({ sampleDrawn }) => sampleDrawn);
    const answers = { deviceId, bootId, answers: decided.map(({ answer }) => answer) };
    return [
      predictionsOf(
        device,
        decided.map(({ prediction }) => prediction),
      ),
      {
        topic: topics.classifications.name,
        key: deviceId,
        value: topics.classifications.codec.encodeConfluent(answers),
      },
      ...labelled.map(({ frameSeq }) => truthOf(device, frameSeq, TRUE_LABEL)),
    ];
  }
}

type Frame = Pick<EdgePrediction, "frameSeq" | "ageMs" | "sampleDrawn" | "samplePropensity" | "latencyMs">;

/** Far below and far above any model's budget here. */
const [IN_TIME_MS, LATE_MS] = [9, 5_000] as const;

function deviceOf(deviceId: string, index: number, modelDigest: string): SimulatedDevice {
  return {
    deviceId,
    bootId: makeBootId(1, BigInt(index + 1)),
    generation: 0n,
    modelDigest,
    policyVersion: "",
    arm: "default",
    claims: null,
    isDisconnected: false,
    sendsNoFrames: false,
    update: null,
    ran: [],
    decidedBy: [],
    ignored: [],
    retained: null,
    seqs: { reported: 0n, metrics: 0n, predictions: 0n, frames: 0n },
  };
}

function predictionsOf(device: SimulatedDevice, predictions: readonly EdgePrediction[]): OutRecord {
  const { deviceId, bootId, seqs, modelDigest, arm } = device;
  const policyVersion = device.policyVersion || someDigest;
  const batch = somePredictions({
    deviceId,
    bootId,
    seq: seqs.predictions,
    modelDigest,
    policyVersion,
    arm,
    predictions,
  });
  return { topic: topics.predictions.name, key: deviceId, value: topics.predictions.codec.encodeConfluent(batch) };
}

function truthOf({ deviceId, bootId }: SimulatedDevice, frameSeq: bigint, label: string): OutRecord {
  const value = topics.groundTruth.codec.encodeConfluent({
    deviceId,
    bootId,
    cameraId: "cam",
    frameSeq,
    label,
    source: "MEASUREMENT",
    labelledBy: "simulated",
    labelledAt: 0,
    labelSet: null,
    comment: null,
    frameAt: null,
  });
  return { topic: topics.groundTruth.name, key: deviceId, value };
}
