/** Faults of a stranger's making on the tasks' fleets: is the cause right, is the name, is anybody accused who is well? */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type DriftReference, driftReferenceOf } from "@tributary/drift";
import { seededRandom } from "@tributary/kernel";
import { loadPackage } from "@tributary/model-store";
import { type OnnxModel, OnnxModelHost } from "@tributary/onnx";
import {
  expectedVerdict,
  type Fault,
  faults,
  type LabelledPhoto,
  type Picture,
  packTask,
  type Task,
  worksOn,
} from "@tributary/tasks";
import sharp from "sharp";
import { Observed, type PhotoSet } from "../observed.ts";
import { Camera, type Device, devicesOf, FLEET, report, START } from "./fleet.ts";
import { classOf, Frames } from "./frames.ts";
import { type LifeTask, lifeBank } from "./life.ts";
import { watch } from "./trial.ts";

export type CauseTrial = {
  readonly task: string;
  readonly fault: string;
  readonly trial: number;
  readonly severity: number;
  readonly outcome: "right" | "unknown" | "wrong" | "undetected";
  readonly name: "right" | "none" | "wrong";
  readonly reported: readonly string[];
  readonly innocent: number;
};

const POOL = { camera: 160, site: 80, version: 240 } as const;

export async function causeTrials(
  task: Task,
  options: { readonly trials: number; readonly only?: readonly string[]; readonly clean: number },
  progress: (line: string) => void,
): Promise<readonly CauseTrial[]> {
  const folder = await mkdtemp(join(tmpdir(), "tributary-bench-causes-"));
  const host = new OnnxModelHost(loadPackage);
  const models: OnnxModel[] = [];
  try {
    progress(`${task.name}: packing`);
    const { edge } = await packTask(task, folder, () => {});
    const pkg = await loadPackage(edge);
    const {
      digest,
      manifest,
      labels,
      referenceSketch: sketch,
      golden,
      faults: codebook,
      cameraFaults,
      confusion,
    } = pkg;
    const reference = driftReferenceOf(digest, {
      ...{ manifest, labels, sketch, golden, faults: codebook, cameraFaults, confusion },
    });
    for (let i = 0; i < 2; i++) models.push(await host.load(edge, { threads: 1 }));
    const bench = new TaskBench(task, reference, models, progress);
    const goldenJpegs = await goldenOf(
      edge,
      golden.frames.slice(0, codebook?.frames ?? 0).map(({ jpeg }) => jpeg),
    );
    return await bench.run(options, goldenJpegs);
  } finally {
    await Promise.all(models.map((model) => model.close()));
    await rm(folder, { recursive: true, force: true });
  }
}

async function goldenOf(dir: string, paths: readonly string[]): Promise<readonly Buffer[]> {
  return Promise.all(paths.map((path) => readFile(join(dir, path))));
}

class TaskBench {
  constructor(
    readonly task: Task,
    readonly reference: DriftReference,
    readonly models: readonly OnnxModel[],
    readonly progress: (line: string) => void,
  ) {}

  async run(
    { trials, only, clean }: { readonly trials: number; readonly only?: readonly string[]; readonly clean: number },
    golden: readonly Buffer[],
  ): Promise<readonly CauseTrial[]> {
    const { task, reference } = this;
    const devices = devicesOf(task.places, 7);
    const photos = task.seen.slice(0, clean);
    const channels = (photos[0] as LabelledPhoto).photo.channels;
    const ofFaults = faults.filter(
      (fault) => worksOn(fault, channels) && (only === undefined || only.includes(fault.name)),
    );
    const plans = ofFaults.flatMap((fault, f) =>
      Array.from({ length: trials }, (_, trial) => this.plan(fault, devices, 1_000 * f + trial + 1)),
    );
    this.progress(`${task.name}: ${photos.length} clean frames, ${plans.length} trials`);
    const sets: PhotoSet[] = [{ name: "clean", photos: await this.frames(photos) }];
    for (const plan of plans) sets.push(...(await this.faulty(plan, photos)));
    const observed = await Observed.of(this.models, reference.sketch, sets, this.progress);
    const cleanFrames = new Frames(observed, "clean", task.labels);
    const past = devices.map((device) => {
      const camera = new Camera(device, reference, 1);
      for (let window = 0; window < FLEET.baselineWindows; window++) camera.step(cleanFrames);
      return camera.state.encode();
    });
    const results: CauseTrial[] = [];
    for (const plan of plans) {
      results.push(await this.trial(plan, devices, past, observed, cleanFrames, golden));
    }
    return results;
  }

  plan(fault: Fault, devices: readonly Device[], seed: number) {
    const random = seededRandom(seed * 7_919);
    const severity = 0.2 + 0.8 * random();
    const one = devices[Math.floor(random() * devices.length)] as Device;
    const isFaulty = (device: Device) => {
      switch (fault.place) {
        case "camera":
          return device.i === one.i;
        case "site":
          return device.site === one.site;
        case "version":
          return device.agentVersion === one.agentVersion;
        default:
          return true;
      }
    };
    const faulty = devices.filter(isFaulty);
    return { fault, seed, severity, faulty, hour: 6 + 12 * random() };
  }

  /** Sets of the frames of faulty cameras: one for each camera, or one for all where they are many. */
  async faulty(plan: ReturnType<TaskBench["plan"]>, photos: readonly LabelledPhoto[]): Promise<readonly PhotoSet[]> {
    const { fault, seed, severity, faulty, hour } = plan;
    if (fault.cause === "mix" || fault.cause === "concept") return [];
    const isEach = faulty.length <= FLEET.camerasOfSite;
    const cameras = isEach ? faulty : faulty.slice(0, 1);
    const size = faulty.length === 1 ? POOL.camera : isEach ? POOL.site : POOL.version;
    return Promise.all(
      cameras.map(async (device, c) => {
        const random = seededRandom(seed * 31 + c);
        const mix = isEach ? device.mix : (this.task.places[0]?.mix ?? device.mix);
        const drawn = drawPhotos(photos, mix, size, random);
        const pictures = await Promise.all(drawn.map(({ photo }) => pictureOf(this.task, photo)));
        const at = { severity, camera: seed * 100 + device.i, hour, site: seed };
        const made = await Promise.all(
          drawn.map(async ({ label }, frame) => {
            const moment = { ...at, frame, other: pictures[Math.floor(random() * pictures.length)] as Picture };
            const which = fault.sends?.(moment) ?? frame;
            const picture = fault.apply(pictures[Math.max(0, which) % pictures.length] as Picture, moment);
            const jpeg = (await fault.encode?.(picture, moment)) ?? (await encode(picture));
            return { jpeg, label };
          }),
        );
        return { name: setOf(plan, isEach ? device.i : 0), photos: made };
      }),
    );
  }

  async trial(
    plan: ReturnType<TaskBench["plan"]>,
    devices: readonly Device[],
    past: readonly Uint8Array[],
    observed: Observed,
    clean: Frames,
    golden: readonly Buffer[],
  ): Promise<CauseTrial> {
    const { fault, seed, severity, faulty } = plan;
    const { reference, task } = this;
    const cameras = devices.map((device, i) => {
      return new Camera(device, reference, seed, { state: past[i] as Uint8Array, windows: FLEET.baselineWindows });
    });
    const isFaulty = new Set(faulty.map(({ i }) => i));
    const isEach = faulty.length <= FLEET.camerasOfSite;
    const hasFrames = fault.cause !== "mix" && fault.cause !== "concept";
    const pools = new Map(
      faulty.map((device) => [
        device.i,
        hasFrames ? new Frames(observed, setOf(plan, isEach ? device.i : 0), task.labels) : clean,
      ]),
    );
    const moment = { severity, camera: seed, frame: 0, hour: plan.hour, site: seed };
    const mixes = devices.map(({ mix }) => fault.mix?.(mix, moment) ?? mix);
    const share = fault.cause === "new-class" ? 0.2 + 0.5 * severity : 1;
    const random = seededRandom(seed);
    const step = () => {
      for (const camera of cameras) {
        const { i } = camera.device;
        if (!isFaulty.has(i)) camera.step(clean);
        else camera.step(random() < share ? (pools.get(i) as Frames) : clean, mixes[i]);
      }
    };
    const reported = fault.cause === "pipeline" ? await this.golden(plan, golden) : null;
    const outcome = watch(devices, cameras, reference, isFaulty, step, (view) => {
      if (reported === null) return;
      for (const device of faulty) {
        view.reported(device.deviceId, report(device, reference, START, reported.logits, reported.failed), START);
      }
    });
    return this.judged(plan, outcome);
  }

  /** What devices of a broken pipeline answer to their golden frames. */
  async golden(plan: ReturnType<TaskBench["plan"]>, golden: readonly Buffer[]) {
    const { fault, severity, seed, hour } = plan;
    const jpegs = await Promise.all(
      golden.map(async (jpeg, frame) => {
        const { data, info } = await sharp(jpeg).raw().toBuffer({ resolveWithObject: true });
        const { width, height } = info;
        const channels = info.channels === 1 ? 1 : 3;
        const picture = { width, height, channels, data: new Uint8Array(data) } as const;
        const moment = { severity, camera: seed, frame, hour, site: seed };
        const broken = fault.apply(picture, moment);
        return (await fault.encode?.(broken, moment)) ?? (await encode(broken, 100));
      }),
    );
    const results = await (this.models[0] as OnnxModel).inferBatch(jpegs);
    const logits = results.map((result) => (result.ok ? [...result.inference.logits] : []));
    const right = this.reference.golden;
    const failed = logits.filter((frame, i) =>
      frame.some((logit, c) => Math.abs(logit - (right[i]?.[c] ?? 0)) > 0.5),
    ).length;
    return { logits: logits.flat(), failed };
  }

  judged(
    { fault, seed, severity }: ReturnType<TaskBench["plan"]>,
    { verdicts, innocent }: ReturnType<typeof watch>,
  ): CauseTrial {
    const { causes, names: rightNames } = expectedVerdict(fault);
    const reported = verdicts.map(
      ({ cause, fault: name, scopeKey, scopeValue }) => `${cause} ${name} ${scopeKey} ${scopeValue}`,
    );
    const isRight = ({ cause }: { readonly cause: string }) => causes.includes(cause);
    const named = verdicts.filter((verdict) => verdict.fault !== "");
    const isWrong = verdicts.some((verdict) => !isRight(verdict) && verdict.cause !== "UNKNOWN");
    const outcome =
      verdicts.length === 0 ? "undetected" : isWrong ? "wrong" : verdicts.some(isRight) ? "right" : "unknown";
    const wrongName = named.some((verdict) => !rightNames.includes(verdict.fault));
    const name = named.length === 0 ? "none" : wrongName ? "wrong" : "right";
    return { task: this.task.name, fault: fault.name, trial: seed, severity, outcome, name, reported, innocent };
  }

  async frames(photos: readonly LabelledPhoto[]) {
    return Promise.all(
      photos.map(async ({ photo, label }) => ({ jpeg: await encode(await pictureOf(this.task, photo)), label })),
    );
  }
}

/** A photo as a camera sees it, before it is encoded. */
async function pictureOf({ frameSide }: Task, { pixels, ...raw }: LabelledPhoto["photo"]): Promise<Picture> {
  const enlarged = sharp(pixels, { raw }).resize(frameSide, frameSide, { kernel: "cubic" });
  const data = await (raw.channels === 1 ? enlarged.toColourspace("b-w") : enlarged).raw().toBuffer();
  return { width: frameSide, height: frameSide, channels: raw.channels, data: new Uint8Array(data) };
}

const setOf = ({ fault, seed }: { readonly fault: Fault; readonly seed: number }, camera: number): string =>
  `${fault.name}/${seed}/${camera}`;

async function encode({ data, ...raw }: Picture, quality = 90): Promise<Buffer> {
  const image = sharp(data, { raw });
  return (raw.channels === 1 ? image.toColourspace("b-w") : image)
    .jpeg({ quality, chromaSubsampling: quality === 100 ? "4:4:4" : "4:2:0" })
    .toBuffer();
}

function drawPhotos(
  photos: readonly LabelledPhoto[],
  mix: readonly number[],
  count: number,
  random: () => number,
): readonly LabelledPhoto[] {
  const byClass = mix.map((_, label) => photos.filter((photo) => photo.label === label));
  const drawn: LabelledPhoto[] = [];
  while (drawn.length < count) {
    const of = byClass[classOf(random(), mix)] ?? [];
    if (of.length > 0) drawn.push(of[Math.floor(random() * of.length)] as LabelledPhoto);
  }
  return drawn;
}

/** What months of a task's cameras are lived from; frames of so many photos. */
export async function lifeOf(
  task: Task,
  photos: number,
  progress: (line: string) => void,
): Promise<Pick<LifeTask, "bank" | "modelDigest" | "documents" | "temperature" | "places">> {
  const folder = await mkdtemp(join(tmpdir(), "tributary-bench-life-"));
  const host = new OnnxModelHost(loadPackage);
  try {
    progress(`${task.name}: packing, and ${photos} photos in every condition`);
    const { edge } = await packTask(task, folder, () => {});
    const {
      digest,
      manifest,
      labels,
      referenceSketch: sketch,
      golden,
      faults: codebook,
      confusion,
    } = await loadPackage(edge);
    const model = await host.load(edge, { threads: 1 });
    const byClass = labels.map((_, label) => task.seen.filter((photo) => photo.label === label));
    const chosen = byClass.flatMap((of) => of.slice(0, Math.ceil(photos / labels.length)));
    const pictures = await Promise.all(
      chosen.map(async ({ photo, label }) => ({ picture: await pictureOf(task, photo), label })),
    );
    const bank = await lifeBank(model, pictures, encode);
    await model.close();
    const documents = { manifest, labels: [...labels], sketch, golden, faults: codebook, confusion };
    return { bank, modelDigest: digest, documents, temperature: model.temperature, places: task.places };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
