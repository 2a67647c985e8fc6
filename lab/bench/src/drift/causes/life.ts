/**
 * Clean life: a month of cameras with their own mixes, days and nights, weather, scenes and rates. Nothing is wrong, so every verdict is a
 * false one.
 *
 * Photos go through the model under each condition by itself (darker, warmer, in mist, by infrared, with something parked); a frame of the
 * month is one photo's answers with what its conditions add, so that millions of frames are computed from thousands. */
import type { DriftVerdict, EdgeSketches } from "@tributary/contracts";
import {
  type DetectorSettings,
  DeviceDrift,
  type DriftDocuments,
  type DriftReference,
  decideVerdicts,
  detectorDefaults,
  driftReferenceOf,
  FleetView,
  fleetStreams,
  verdictDefaults,
} from "@tributary/drift";
import { binOf, classFeatures, SKETCH_BINS, type SketchObservation, sketchValue } from "@tributary/inference";
import { seededRandom } from "@tributary/kernel";
import type { OnnxModel } from "@tributary/onnx";
import { calibrate } from "@tributary/routing";
import {
  applyConditions,
  type Conditions,
  conditionsAt,
  framesPerMinuteAt,
  mixAt,
  type Picture,
  type Place,
} from "@tributary/tasks";
import { registration, report } from "./fleet.ts";
import { classOf } from "./frames.ts";

/** One condition by itself, at several strengths; the first is the usual one. */
const axes = {
  brightness: [1, 0.72, 0.86, 1.12],
  warmth: [0, -0.15, 0.25, 0.5],
  contrast: [1, 0.84],
  mist: [0, 0.15, 0.36],
  rain: [0, 0.4, 1],
  infrared: [0, 0.5, 1],
  defocus: [0.004, 0.001, 0.009],
  background: [1, 0.9, 1.1],
  red: [1, 0.95, 1.05],
  blue: [1, 0.95, 1.05],
} as const;
type Axis = keyof typeof axes;
const axisNames = Object.keys(axes) as readonly Axis[];
/** Things that may stand at the edge, as drawn by the generator at these moments. */
const PARKED = 16;
const MINUTE = 60_000;
const CONDITIONS_EVERY = 10;
const FRAMES_MAX = 6;

const usual = (): Conditions => ({
  ...{ brightness: 1, warmth: 0, contrast: 1, mist: 0, rain: 0, infrared: 0, grain: 1.6 },
  aim: { x: 0, y: 0, turn: 0, zoom: 1 },
  ...{ balance: [1, 1, 1], defocus: 0.004, scene: { background: 1, tint: [1, 1, 1], parked: [] } },
});

function withAxis(axis: Axis, value: number): Conditions {
  const of = usual();
  switch (axis) {
    case "background":
      return { ...of, scene: { ...of.scene, background: value } };
    case "red":
      return { ...of, balance: [value, 1, 1] };
    case "blue":
      return { ...of, balance: [1, 1, value] };
    default:
      return { ...of, [axis]: value };
  }
}

const strengthOf = (axis: Axis, { scene, balance, ...of }: Conditions): number =>
  axis === "background" ? scene.background : axis === "red" ? balance[0] : axis === "blue" ? balance[2] : of[axis];

/** What a worker needs of a task; plain data. */
export type LifeBank = {
  readonly classes: number;
  /** True class of each photo. */
  readonly labels: readonly number[];
  /** Logits, then picture statistics, of photo by photo as usual. */
  readonly usual: Float32Array;
  /** What each strength of each axis, then each parked thing, adds. */
  readonly effects: readonly Float32Array[];
};

const STATISTICS = 8;

/** Every picture in every condition, through the model. */
export async function lifeBank(
  model: OnnxModel,
  pictures: readonly { readonly picture: Picture; readonly label: number }[],
  encode: (picture: Picture) => Promise<Buffer>,
): Promise<LifeBank> {
  const classes = model.labels.length;
  const width = classes + STATISTICS;
  const under = async (conditions: Conditions): Promise<Float32Array> => {
    const rows = new Float32Array(pictures.length * width);
    const jpegs = await Promise.all(pictures.map(({ picture }, i) => encode(applyConditions(picture, conditions, i))));
    const results = await model.inferBatch(jpegs);
    for (const [i, result] of results.entries()) {
      if (!result.ok) throw new Error(`${result.code}: ${result.message}`);
      const { logits, picture } = result.inference;
      const { channelMeans, channelSds, luminance, bitsPerPixel } = picture;
      rows.set([...logits, ...channelMeans, ...channelSds, luminance, bitsPerPixel], i * width);
    }
    return rows;
  };
  const plain = await under(usual());
  const less = (rows: Float32Array) => rows.map((value, i) => value - (plain[i] as number));
  const effects: Float32Array[] = [];
  for (const axis of axisNames)
    for (const value of axes[axis].slice(1)) effects.push(less(await under(withAxis(axis, value))));
  for (let i = 0; i < PARKED; i++) effects.push(less(await under(parkedConditions(i))));
  return { classes, labels: pictures.map(({ label }) => label), usual: plain, effects };
}

/** The i-th scene with one thing parked that the generator draws. */
function parkedConditions(i: number): Conditions {
  const of = usual();
  for (let hour = 0; ; hour++) {
    const { scene } = conditionsAt({ site: i, camera: i, time: hour * 3_600_000, seed: 99 });
    const [one] = scene.parked;
    if (one !== undefined) return { ...of, scene: { ...of.scene, parked: [one] } };
  }
}

export type LifeTask = {
  readonly bank: LifeBank;
  readonly modelDigest: string;
  readonly documents: DriftDocuments;
  readonly temperature: number;
  readonly places: readonly Place[];
  readonly cameras: number;
  readonly camerasOfSite: number;
  readonly days: number;
  readonly seed: number;
  readonly fleetCameras: number;
  readonly detector: Partial<DetectorSettings>;
  /** From this day on every third camera is a third darker than its site; null: never. */
  readonly faultDay: number | null;
};

export type LifeResult = {
  readonly cameraDays: number;
  readonly opened: readonly { readonly day: number; readonly verdict: string }[];
  readonly alarms: number;
  readonly trainings: number;
  /** Hours from the fault until a verdict names the camera, for each that has one; null: none does. */
  readonly delays: readonly (number | null)[];
  /** Cameras without a fault that a verdict names. */
  readonly innocent: number;
};

const hash = (text: string): string => {
  let h = 0n;
  for (const char of text) h = (h * 1_000_003n + BigInt(char.charCodeAt(0))) % 2n ** 61n;
  return h.toString(16).padStart(16, "0");
};

const START = Date.UTC(2026, 5, 1);

export function liveMonth(task: LifeTask): LifeResult {
  const { cameras, days, camerasOfSite } = task;
  const reference = driftReferenceOf(task.modelDigest, task.documents);
  const settings = { streams: fleetStreams(task.fleetCameras), detector: { ...detectorDefaults, ...task.detector } };
  const view = new FleetView();
  view.package(reference.modelDigest, reference);
  const golden = reference.golden.slice(0, reference.faults?.frames ?? 0).flat();
  const lives = Array.from({ length: cameras }, (_, i) => {
    const site = Math.floor(i / camerasOfSite);
    const device = {
      ...{ i, deviceId: `cam-${String(i).padStart(3, "0")}`, site, hardware: "pi5", agentVersion: "1.5.0" },
      mix: (task.places[site % task.places.length] as Place).mix,
    };
    view.registered(device.deviceId, registration(device));
    view.reported(device.deviceId, report(device, reference, START, golden, 0), START);
    return new CameraLife(task, reference, device.deviceId, site, i, device.mix);
  });
  const verdicts = new Map<string, DriftVerdict>();
  const opened: { day: number; verdict: string }[] = [];
  const retrain = new Set<string>();
  const alarmed = new Set<string>();
  const named = new Map<string, number>();
  for (let minute = 1; minute <= days * 1_440; minute++) {
    for (const life of lives) life.minute(minute, settings);
    if (minute % 30 !== 0) continue;
    const now = START + minute * MINUTE;
    for (const { device } of lives) {
      const findings = device.findings();
      if (findings.cameras.some(({ drift }) => drift !== null)) alarmed.add(device.deviceId);
      view.found(device.deviceId, findings);
    }
    for (const verdict of decideVerdicts(view, verdicts, now, verdictDefaults, hash)) {
      if (verdict.state === "OPEN" && verdicts.get(verdict.verdictId)?.state !== "OPEN") {
        opened.push({
          day: minute / 1_440,
          verdict: `${verdict.cause} ${verdict.scopeKey} ${verdict.scopeValue}: ${verdict.summary}`,
        });
      }
      if (verdict.retrain) retrain.add(verdict.verdictId);
      for (const { deviceId } of verdict.state === "OPEN" ? verdict.devices : []) {
        if (!named.has(deviceId)) named.set(deviceId, minute);
      }
      verdicts.set(verdict.verdictId, verdict);
    }
  }
  const faulty = lives.filter(({ isFaulty }) => isFaulty);
  const delays = faulty.map(({ device }) => {
    const minute = named.get(device.deviceId);
    return minute === undefined ? null : minute / 60 - 24 * (task.faultDay ?? 0);
  });
  const innocent = lives.filter(({ isFaulty, device }) => !isFaulty && named.has(device.deviceId)).length;
  return { cameraDays: cameras * days, opened, alarms: alarmed.size, trainings: retrain.size, delays, innocent };
}

class CameraLife {
  readonly device: DeviceDrift;
  readonly isFaulty: boolean;
  readonly #task: LifeTask;
  readonly #deviceId: string;
  readonly #where: { readonly site: number; readonly camera: number; readonly seed: number };
  readonly #mix: readonly number[];
  readonly #random: () => number;
  readonly #byClass: readonly (readonly number[])[];
  readonly #row: Float32Array;
  #adds: readonly (readonly [effect: number, share: number])[] = [];
  #mixNow: readonly number[] = [];
  #rate = 0;
  #pending = 0;
  #seq = 0n;

  readonly #reference: DriftReference;

  constructor(
    task: LifeTask,
    reference: DriftReference,
    deviceId: string,
    site: number,
    camera: number,
    mix: readonly number[],
  ) {
    this.#reference = reference;
    this.device = new DeviceDrift(deviceId);
    this.#task = task;
    this.#deviceId = deviceId;
    this.#where = { site: site + 1_000 * task.seed, camera: camera + 1_000 * task.seed, seed: task.seed };
    this.#mix = mix;
    this.isFaulty = task.faultDay !== null && camera % 3 === 0;
    this.#random = seededRandom(task.seed * 10_007 + camera);
    this.#byClass = mix.map((_, label) => [...task.bank.labels.keys()].filter((i) => task.bank.labels[i] === label));
    this.#row = new Float32Array(task.bank.classes + STATISTICS);
  }

  minute(minute: number, settings: Parameters<DeviceDrift["sketch"]>[4]): void {
    const where = { ...this.#where, time: minute * MINUTE };
    if (minute % CONDITIONS_EVERY === 1) {
      const conditions = conditionsAt(where);
      const isDark = this.isFaulty && minute > (this.#task.faultDay ?? 0) * 1_440;
      const seen = isDark ? { ...conditions, brightness: conditions.brightness * 0.67 } : conditions;
      this.#adds = addsOf(seen, this.#where.camera);
      this.#mixNow = mixAt(this.#mix, where);
      this.#rate = framesPerMinuteAt(where);
    }
    this.#pending += this.#rate;
    const frames = Math.min(FRAMES_MAX, Math.floor(this.#pending));
    this.#pending -= Math.floor(this.#pending);
    if (frames === 0) return;
    const at = START + minute * MINUTE;
    const outcome = this.device.sketch(this.#record(frames), at, at, this.#reference, settings);
    if (outcome !== "folded") throw new Error(`a window was not folded: ${outcome}`);
  }

  #record(frames: number): EdgeSketches {
    const { temperature, bank } = this.#task;
    const reference = this.#reference;
    const { histograms } = reference.sketch;
    const counts = histograms.map(() => new Array<bigint>(SKETCH_BINS).fill(0n));
    const labels: Record<string, bigint> = {};
    const byClass: Record<string, bigint[]> = {};
    for (let i = 0; i < frames; i++) {
      const observation = this.#observe(bank, temperature, reference.labels);
      labels[observation.label] = (labels[observation.label] ?? 0n) + 1n;
      byClass[observation.label] ??= classFeatures.map(() => 0n);
      for (const [f, { feature, edges }] of histograms.entries()) {
        const bin = binOf(edges, sketchValue(feature, observation));
        const ofFeature = counts[f] as bigint[];
        ofFeature[bin] = (ofFeature[bin] as bigint) + 1n;
      }
    }
    this.#seq += 1n;
    return {
      ...{
        deviceId: this.#deviceId,
        bootId: 1n,
        seq: this.#seq,
        windowMs: MINUTE,
        ageMs: 0,
        clockState: "SYNCHRONIZED",
      },
      ...{ modelDigest: reference.modelDigest, preprocessingDigest: "", cameraId: "front", temperature: 1 },
      histograms: histograms.map(({ feature }, f) => ({ feature, counts: counts[f] as bigint[] })),
      ...{ labels, grid: [], encoders: {}, qualitySum: 0n, byClass: {} },
    };
  }

  #observe(bank: LifeBank, temperature: number, labels: readonly string[]): SketchObservation {
    const width = this.#row.length;
    let photos: readonly number[] = [];
    while (photos.length === 0) photos = this.#byClass[classOf(this.#random(), this.#mixNow)] ?? [];
    const photo = photos[Math.floor(this.#random() * photos.length)] as number;
    const from = photo * width;
    for (let v = 0; v < width; v++) this.#row[v] = bank.usual[from + v] as number;
    for (const [effect, share] of this.#adds) {
      const added = bank.effects[effect] as Float32Array;
      for (let v = 0; v < width; v++) this.#row[v] = (this.#row[v] as number) + share * (added[from + v] as number);
    }
    const { labelIndex, ...confidence } = calibrate(this.#row.subarray(0, bank.classes), temperature);
    const [r, g, b, sr, sg, sb, luminance, bitsPerPixel] = this.#row.subarray(
      bank.classes,
    ) as unknown as readonly number[];
    const picture = {
      channelMeans: [r, g, b],
      channelSds: [sr, sg, sb],
      ...{ luminance, bitsPerPixel, grid: new Uint8Array(0), encoder: "", quality: 90 },
    } as unknown as SketchObservation["picture"];
    return { label: labels[labelIndex] ?? "", ...confidence, picture };
  }
}

/** Effects of the axes, each between the two strengths that are nearest, and of what is parked. */
function addsOf(conditions: Conditions, camera: number): readonly (readonly [number, number])[] {
  const adds: [number, number][] = [];
  let first = 0;
  for (const axis of axisNames) {
    const strengths = axes[axis];
    const value = strengthOf(axis, conditions);
    const order = [...strengths.keys()].sort((a, b) => (strengths[a] as number) - (strengths[b] as number));
    const upper = Math.max(
      1,
      Math.min(
        order.length - 1,
        order.findIndex((i) => (strengths[i] as number) >= value),
      ),
    );
    const above = order.every((i) => (strengths[i] as number) < value) ? order.length - 1 : upper;
    const [low, high] = [order[above - 1] as number, order[above] as number];
    const [from, to] = [strengths[low] as number, strengths[high] as number];
    const share = Math.max(-0.3, Math.min(1.3, (value - from) / (to - from)));
    if (low > 0) adds.push([first + low - 1, 1 - share]);
    if (high > 0) adds.push([first + high - 1, share]);
    first += strengths.length - 1;
  }
  for (const [i, { colour, x }] of conditions.scene.parked.entries()) {
    // Another thing of the bank stands for it, always the same one.
    const which = Math.abs(Math.round(colour[0] * 7 + x * 1_000 + camera + i)) % PARKED;
    adds.push([first + which, 1]);
  }
  return adds.filter(([, share]) => share !== 0);
}
