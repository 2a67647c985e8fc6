/** Accuracy on unseen photos, of the deployed model and of a new one, frame by frame. */
import { type ModelPackage, packageFiles } from "@tributary/inference";
import { loadPackage, readPackageFile } from "@tributary/model-store";
import { decodePicture, Normaliser, PIXELS_MAX } from "@tributary/onnx";
import { openGraph } from "@tributary/onnx/graph-session";
import type { SiteDrift, SiteFrame } from "./sets.ts";

export type Shares = {
  readonly frames: number;
  readonly before: number;
  readonly after: number;
  readonly classes: Readonly<Record<string, ClassShares>>;
};

/** Recall and F1 of a class, and how many of its frames only one of the two models recognises. */
export type ClassShares = {
  readonly before: number;
  readonly after: number;
  readonly f1Before: number;
  readonly f1After: number;
  readonly frames: number;
  readonly won: number;
  readonly lost: number;
};

/** Frames that nothing else uses, as cameras of the drifted site see them, or all others. */
export type UnseenFrames = (view: SiteDrift | "elsewhere") => Promise<readonly SiteFrame[]>;

export type Figures = {
  readonly site: Shares;
  readonly elsewhere: Shares;
  /** Share of the accuracy that the site lost. */
  readonly regained: number;
  /** Upper end of the one-sided 95 % interval of the accuracy lost elsewhere. */
  readonly costBound: number;
};

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

export function figuresLine({ site, elsewhere, regained }: Figures): string {
  const change = (100 * (elsewhere.after - elsewhere.before)).toFixed(2);
  const back = `${percent(site.before)} to ${percent(site.after)} (${percent(regained)} of the loss)`;
  return `site ${back}, elsewhere ${change.startsWith("-") ? "" : "+"}${change} points`;
}

type Frames = { readonly pixels: readonly Uint8Array[]; readonly labels: readonly number[] };
/** A factor for each channel of the pixels. */
export type Gains = readonly [number, number, number];

const BATCH = 100;
const Z_95 = 1.6449;

export class Judge {
  readonly #pkg: ModelPackage;
  readonly #unseen: UnseenFrames;
  readonly #deployed: Uint8Array;
  readonly #frames = new Map<string, Promise<Frames>>();
  readonly #before = new Map<string, Promise<readonly number[]>>();

  private constructor(pkg: ModelPackage, unseen: UnseenFrames, deployed: Uint8Array) {
    this.#pkg = pkg;
    this.#unseen = unseen;
    this.#deployed = deployed;
  }

  static async open(packageDir: string, unseen: UnseenFrames): Promise<Judge> {
    const pkg = await loadPackage(packageDir);
    return new Judge(pkg, unseen, await readPackageFile(pkg, packageFiles.model));
  }

  figures(drift: SiteDrift, model: Uint8Array): Promise<Figures> {
    return this.#figures(drift, (view) => this.#answers(view, model));
  }

  /** Of the deployed model, whose pictures are multiplied first, at the site. */
  gainFigures(drift: SiteDrift, gains: Gains): Promise<Figures> {
    return this.#figures(drift, (view) =>
      view === "elsewhere" ? this.#deployedAnswers(view) : this.#answers(view, this.#deployed, gains),
    );
  }

  async #figures(
    drift: SiteDrift,
    answersOf: (view: SiteDrift | "elsewhere") => Promise<readonly number[]>,
  ): Promise<Figures> {
    const [site, elsewhere] = await Promise.all(
      ([drift, "elsewhere"] as const).map(async (view) => {
        const { labels } = await this.#framesOf(view);
        return { labels, before: await this.#deployedAnswers(view), after: await answersOf(view) };
      }),
    );
    const [own, other] = [site, elsewhere].map((one) => sharesOf(one as Compared, this.#pkg.labels)) as [
      Shares,
      Shares,
    ];
    const lost = other.before - own.before;
    return {
      site: own,
      elsewhere: other,
      regained: (own.after - own.before) / lost,
      costBound: costBound(elsewhere as Compared),
    };
  }

  #deployedAnswers(view: SiteDrift | "elsewhere"): Promise<readonly number[]> {
    const known = this.#before.get(view) ?? this.#answers(view, this.#deployed);
    this.#before.set(view, known);
    return known;
  }

  async #answers(view: SiteDrift | "elsewhere", model: Uint8Array, gains?: Gains): Promise<readonly number[]> {
    const { pixels } = await this.#framesOf(view);
    const { preprocessing, manifest, labels } = this.#pkg;
    const { input, logits } = manifest.tensors;
    const normaliser = new Normaliser(preprocessing);
    const session = await openGraph(model, { threads: 2 });
    try {
      const answers: number[] = [];
      for (let from = 0; from < pixels.length; from += BATCH) {
        const some = pixels
          .slice(from, from + BATCH)
          .map((one) => (gains === undefined ? one : multiplied(one, gains)));
        const side = Math.sqrt((some[0]?.length ?? 0) / 3);
        const data = new Float32Array(some.length * 3 * side * side);
        for (const [i, one] of some.entries()) normaliser.write(normaliser.channels(one), data, i * one.length);
        const outputs = await session.run({ [input]: { data, dims: [some.length, 3, side, side] } }, [logits]);
        const values = outputs[logits]?.data as Float32Array;
        for (let i = 0; i < some.length; i++) {
          const own = values.subarray(i * labels.length, (i + 1) * labels.length);
          answers.push(own.indexOf(Math.max(...own)));
        }
      }
      return answers;
    } finally {
      await session.close();
    }
  }

  #framesOf(view: SiteDrift | "elsewhere"): Promise<Frames> {
    const known = this.#frames.get(view) ?? this.#read(view);
    this.#frames.set(view, known);
    return known;
  }

  async #read(view: SiteDrift | "elsewhere"): Promise<Frames> {
    const frames = await this.#unseen(view);
    const pixels: Uint8Array[] = [];
    for (const { jpeg } of frames) {
      const picture = await decodePicture(jpeg, this.#pkg.preprocessing, PIXELS_MAX);
      if (!picture.ok) throw new Error(picture.message);
      pixels.push(picture.pixels);
    }
    return { pixels, labels: frames.map(({ label }) => label) };
  }
}

type Compared = {
  readonly labels: readonly number[];
  readonly before: readonly number[];
  readonly after: readonly number[];
};

function sharesOf({ labels, before, after }: Compared, classes: readonly string[]): Shares {
  const right = (answers: readonly number[], at: readonly number[]) =>
    at.filter((i) => answers[i] === labels[i]).length;
  const all = [...labels.keys()];
  const byClass = classes.map((name, label): readonly [string, ClassShares] => {
    const at = all.filter((i) => labels[i] === label);
    const f1 = (answers: readonly number[]) => {
      const answered = answers.filter((answer) => answer === label).length;
      return (2 * right(answers, at)) / Math.max(1, at.length + answered);
    };
    const only = (own: readonly number[], other: readonly number[]) =>
      at.filter((i) => own[i] === label && other[i] !== label).length;
    const recall = (answers: readonly number[]) => right(answers, at) / Math.max(1, at.length);
    const shares = {
      ...{ before: recall(before), after: recall(after), f1Before: f1(before), f1After: f1(after) },
      ...{ frames: at.length, won: only(after, before), lost: only(before, after) },
    };
    return [name, shares];
  });
  const share = (answers: readonly number[]) => right(answers, all) / Math.max(1, all.length);
  return { frames: labels.length, before: share(before), after: share(after), classes: Object.fromEntries(byClass) };
}

/** Of the paired difference, by the normal approximation: thousands of frames. */
function costBound({ labels, before, after }: Compared): number {
  const costs = labels.map((label, i) => Number(before[i] === label) - Number(after[i] === label));
  const mean = costs.reduce((sum, cost) => sum + cost, 0) / costs.length;
  const variance = costs.reduce((sum, cost) => sum + (cost - mean) ** 2, 0) / (costs.length - 1);
  return mean + Z_95 * Math.sqrt(variance / costs.length);
}

function multiplied(pixels: Uint8Array, gains: Gains): Uint8Array {
  return pixels.map((value, i) => Math.min(255, Math.round(value * (gains[i % 3] as number))));
}
