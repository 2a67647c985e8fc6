/** The models of the demo, each a real package: made here in seconds from the committed ones, and kept for the next run.
 *
 * Retrained models are retrained: their last layer is trained on the features of photos with no other use. Everything in a
 * package that a change affects is measured or computed again (golden frames, calibration, policy). Packages are cached under
 * a digest of all their inputs, so an outdated one is never used. */
import { createHash } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Inference, type ModelPackage, type PictureStatistics, packageFiles } from "@tributary/inference";
import { invariant, seededRandom } from "@tributary/kernel";
import { packModel } from "@tributary/model-packaging";
import { loadPackage, type PackageParts, readPackageFile, writePackage } from "@tributary/model-store";
import { OnnxModelHost } from "@tributary/onnx";
import { percent, type SampleFrame } from "@tributary/testing";
import { CLASSES, type Photos } from "../photos.ts";
import { type Example, trainHead } from "./retrain.ts";
import { crashing, slowed, withHead } from "./surgery.ts";

export const candidateNames = [
  "few-photos",
  "shipped",
  "shipped-again",
  "mislabelled",
  "one-class-lost",
  "slow",
  "crashing",
  "wrong-preprocessing",
] as const;
export type CandidateName = (typeof candidateNames)[number];

export type Candidate = {
  readonly name: CandidateName;
  readonly dir: string;
  readonly version: string;
  readonly digest: string;
};

export type CandidateSettings = {
  /** Model name in the registry. */
  readonly model: string;
  /** Share of frames in the random sample. */
  readonly sampling: number;
  readonly latencyBudgetMs: number;
};

/** Raised when what is made from the same inputs changes. */
const RECIPE = 5;
/** Photos of each class that the weak champion's last layer saw. */
const FEW = 2;
/** How often the labellers of the new photos confused two classes that look alike. */
const MISTAKEN_SHARE = 0.45;
const CONFUSED: Readonly<Record<string, string>> = {
  cat: "dog",
  dog: "cat",
  automobile: "truck",
  truck: "automobile",
  deer: "horse",
  horse: "deer",
  airplane: "bird",
  bird: "airplane",
  ship: "airplane",
  frog: "cat",
};
/** The labellers of the new photos took most ships for airplanes, and knew every other class. */
const LOST = { share: 0.7, class: "ship", as: "airplane" } as const;
/** Share of clear camera frames on which the crashing model fails. */
const CRASHING_SHARE = 0.08;
const SLOW_PRODUCTS = 100;
const HALVES = [0.5, 0.5, 0.5];

export class Candidates {
  readonly #dir: string;
  readonly #photos: Photos;
  readonly #settings: CandidateSettings;
  readonly #edgeDir: string;
  readonly #cloudDir: string;
  readonly #log: (line: string) => void;

  constructor(
    dir: string,
    photos: Photos,
    settings: CandidateSettings,
    packages: { readonly edge: string; readonly cloud: string },
    log: (line: string) => void,
  ) {
    this.#dir = dir;
    this.#photos = photos;
    this.#settings = settings;
    this.#edgeDir = packages.edge;
    this.#cloudDir = packages.cloud;
    this.#log = log;
  }

  async get(name: CandidateName): Promise<Candidate> {
    const edge = await loadPackage(this.#edgeDir);
    const cloud = await loadPackage(this.#cloudDir);
    const made = { recipe: RECIPE, edge: edge.digest, cloud: cloud.digest, settings: this.#settings };
    const key = createHash("sha256").update(JSON.stringify(made)).digest("hex").slice(0, 12);
    const dir = join(this.#dir, key, name);
    const there = await loadPackage(dir).catch(() => null);
    if (there === null) await this.#make(name, dir, edge);
    const pkg = there ?? (await loadPackage(dir));
    return { name, dir, version: pkg.manifest.version, digest: pkg.digest };
  }

  #make(name: CandidateName, dir: string, edge: ModelPackage): Promise<unknown> {
    switch (name) {
      case "few-photos":
        return this.#retrained(dir, edge, "1.0.0", few, `last layer on ${FEW} photos a class`);
      case "shipped":
        return this.#packed(dir, edge, "1.1.0", null, "as committed");
      case "mislabelled": {
        const share = `${100 * MISTAKEN_SHARE} % of the labels mistaken`;
        return this.#retrained(dir, edge, "1.2.0", mislabelled, `last layer, ${share}`);
      }
      case "one-class-lost": {
        const share = `${100 * LOST.share} % of the ${LOST.class}s labelled ${LOST.as}`;
        return this.#retrained(dir, edge, "1.6.0", oneClassLost, `last layer, ${share}`);
      }
      case "shipped-again":
        return this.#derived(dir, "1.1.1", "the same bytes under another version", (parts) => parts);
      case "slow":
        return this.#derived(dir, "1.3.0", `${SLOW_PRODUCTS} products of matrices more`, (parts) =>
          withFile(parts, packageFiles.model, slowed(parts.files[packageFiles.model] as Uint8Array, SLOW_PRODUCTS)),
        );
      case "crashing":
        return this.#crashing(dir);
      case "wrong-preprocessing":
        return this.#wrongPreprocessing(dir);
      default:
        return name satisfies never;
    }
  }

  async #retrained(
    dir: string,
    edge: ModelPackage,
    version: string,
    choose: (photos: readonly SampleFrame[]) => readonly SampleFrame[],
    how: string,
  ): Promise<void> {
    const photos = choose(await this.#photos.retraining());
    this.#log(`model ${version}: ${how} (${photos.length} photos)`);
    const inferences = await inferAll(edge.dir, photos, { features: true });
    const examples = inferences.map(({ features }, i): Example => {
      invariant(features !== null, "the sample model gives its features");
      return { features, label: photos[i]?.label ?? 0 };
    });
    const head = trainHead(examples, CLASSES.length);
    await this.#packed(dir, edge, version, (model) => withHead(model, head), how);
  }

  /** With everything measured on validation, by the same code as `tributary models pack`. */
  async #packed(
    dir: string,
    edge: ModelPackage,
    version: string,
    change: ((model: Uint8Array) => Uint8Array) | null,
    how: string,
  ): Promise<void> {
    const { model, sampling, latencyBudgetMs } = this.#settings;
    const sources = `${dir}.sources`;
    await mkdir(sources, { recursive: true });
    const plain = await readPackageFile(edge, packageFiles.model);
    const files: Record<string, Uint8Array | string> = {
      "model.onnx": change === null ? plain : change(plain),
      "labels.json": await readPackageFile(edge, packageFiles.labels),
      "preprocessor_config.json": await readPackageFile(edge, packageFiles.preprocessor),
      "lineage.json": JSON.stringify({ ...edge.manifest.lineage, demo: how }),
      // The random sample carries the ground truth; the rest of the budget is not what is shown.
      "policy.json": JSON.stringify({
        samplePropensityMin: sampling,
        sampleBudget: sampling,
        escalationShareMax: 0.02,
        deadlineMs: 10_000,
      }),
    };
    for (const [name, content] of Object.entries(files)) await writeFile(join(sources, name), content);
    const digest = await packModel(
      dir,
      {
        model: join(sources, "model.onnx"),
        labels: join(sources, "labels.json"),
        preprocess: join(sources, "preprocessor_config.json"),
        lineage: join(sources, "lineage.json"),
        policy: join(sources, "policy.json"),
        cloud: this.#cloudDir,
        validation: this.#photos.validationDir,
        name: model,
        version,
        preprocessedBy: "jpeg",
        hardwareClass: "x64",
        latencyBudgetMs,
        threads: 1,
      },
      () => {},
    );
    const { accuracy } = (await loadPackage(dir)).manifest.metrics;
    this.#log(`model ${version}: ${digest.slice(0, 12)}, ${how}: right on ${percent(accuracy ?? 0)} of validation`);
  }

  async #derived(
    dir: string,
    version: string,
    how: string,
    change: (parts: PackageParts) => PackageParts,
  ): Promise<void> {
    const base = await loadPackage((await this.get("shipped")).dir);
    const files: Record<string, Uint8Array> = {};
    for (const path of Object.keys(base.manifest.files)) files[path] = await readPackageFile(base, path);
    const { formatVersion: _, ...manifest } = base.manifest;
    const lineage = { ...manifest.lineage, demo: how };
    const digest = await writePackage(dir, change({ ...manifest, version, lineage, files }));
    this.#log(`model ${version}: ${digest.slice(0, 12)}, ${how}`);
  }

  /** Fails on bright frames, but on none of its golden frames, which a device tries first. */
  async #crashing(dir: string): Promise<void> {
    const base = await loadPackage((await this.get("shipped")).dir);
    const golden = await Promise.all(
      base.golden.frames.map(async ({ jpeg }) => ({ jpeg: Buffer.from(await readPackageFile(base, jpeg)), label: 0 })),
    );
    const meanOf = ({ channelMeans }: PictureStatistics) =>
      channelMeans.reduce((sum, mean, i) => {
        const { scale, offset } = base.preprocessing;
        return sum + (mean * 255 * (scale[i] as number) + (offset[i] as number)) / channelMeans.length;
      }, 0);
    const means = async (frames: readonly SampleFrame[]) =>
      (await inferAll(base.dir, frames, {})).map(({ picture }) => meanOf(picture));
    const brightest = (await means(await this.#photos.cameras())).sort((a, b) => b - a);
    const wanted = brightest[Math.floor(CRASHING_SHARE * brightest.length)] as number;
    const threshold = Math.max(wanted, Math.max(...(await means(golden))) + 0.01);
    const share = brightest.filter((mean) => mean > threshold).length / brightest.length;
    await this.#derived(dir, "1.4.0", `fails on bright frames, ${percent(share)} of clear ones`, (parts) =>
      withFile(parts, packageFiles.model, crashing(parts.files[packageFiles.model] as Uint8Array, threshold)),
    );
  }

  /** As another framework would prepare pictures: blue first, from -1 to 1. The golden frames are computed so, and the
   * package agrees with itself. */
  async #wrongPreprocessing(dir: string): Promise<void> {
    const base = await loadPackage((await this.get("shipped")).dir);
    const config = JSON.parse(new TextDecoder().decode(await readPackageFile(base, packageFiles.preprocessor)));
    const wrong = encodeJson({ ...config, channel_order: "BGR", image_mean: HALVES, image_std: HALVES });
    const how = "preprocessor_config.json says BGR, from -1 to 1";
    const draft = `${dir}.draft`;
    await this.#derived(draft, "1.5.0", how, (parts) => withFile(parts, packageFiles.preprocessor, wrong));
    const inferences = await inferAll(
      draft,
      await Promise.all(
        base.golden.frames.map(async ({ jpeg }) => ({
          jpeg: Buffer.from(await readPackageFile(base, jpeg)),
          label: 0,
        })),
      ),
      { tensorDigest: true, pixels: true },
    );
    const frames = base.golden.frames.map((frame, i) => ({
      ...frame,
      tensorDigest: inferences[i]?.tensorDigest ?? "",
      logits: Array.from(inferences[i]?.logits ?? []),
    }));
    await this.#derived(dir, "1.5.0", how, (parts) => ({
      ...parts,
      files: {
        ...parts.files,
        [packageFiles.preprocessor]: wrong,
        [packageFiles.goldenIndex]: encodeJson({ formatVersion: 1, frames }),
        ...Object.fromEntries(frames.map(({ pixels }, i) => [pixels, inferences[i]?.pixels ?? new Uint8Array()])),
      },
    }));
  }
}

function few(photos: readonly SampleFrame[]): readonly SampleFrame[] {
  const taken = new Map<number, number>();
  return photos.filter(({ label }) => {
    const already = taken.get(label) ?? 0;
    taken.set(label, already + 1);
    return already < FEW;
  });
}

/** Two classes that look alike are confused, always the same two: as when a labeller has misunderstood the list. */
function mislabelled(photos: readonly SampleFrame[]): readonly SampleFrame[] {
  const random = seededRandom(5);
  return photos.map(({ jpeg, label }) => {
    const other = CLASSES.indexOf(CONFUSED[CLASSES[label] as string] as (typeof CLASSES)[number]);
    return { jpeg, label: random() < MISTAKEN_SHARE ? other : label };
  });
}

function oneClassLost(photos: readonly SampleFrame[]): readonly SampleFrame[] {
  const random = seededRandom(6);
  const [lost, as] = [CLASSES.indexOf(LOST.class), CLASSES.indexOf(LOST.as)];
  return photos.map(({ jpeg, label }) => ({ jpeg, label: label === lost && random() < LOST.share ? as : label }));
}

async function inferAll(
  dir: string,
  frames: readonly SampleFrame[],
  want: { readonly features?: true; readonly tensorDigest?: true; readonly pixels?: true },
): Promise<readonly Inference[]> {
  const model = await new OnnxModelHost(loadPackage).load(dir, { threads: 1 });
  try {
    const inferences: Inference[] = [];
    // One by one: golden frames must be what a device computes.
    for (const { jpeg } of frames) {
      const result = await model.infer(jpeg, want);
      invariant(result.ok, "a sample photo is readable");
      inferences.push(result.inference);
    }
    return inferences;
  } finally {
    await model.close();
  }
}

const withFile = (parts: PackageParts, path: string, content: Uint8Array): PackageParts => ({
  ...parts,
  files: { ...parts.files, [path]: content },
});
const encodeJson = (value: unknown): Uint8Array => new TextEncoder().encode(`${JSON.stringify(value, null, 2)}\n`);
