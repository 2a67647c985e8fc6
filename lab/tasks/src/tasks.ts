/** Tasks of several shapes for benches and tests: photos before any camera, two trained models, and places whose cameras see
 * each class as often as they do. No photo is in two of base, validation and seen. All of a task is committed: nothing is fetched, and
 * the same clone gives the same bytes. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { samplePhotos, sheetTiles } from "@tributary/testing";
import sharp from "sharp";
import type { Picture } from "./conditions/index.ts";
import { placesOf } from "./places.ts";

/** A photo before any camera: raw 8-bit pixels. */
export type Photo = {
  readonly width: number;
  readonly height: number;
  readonly channels: 1 | 3;
  readonly pixels: Uint8Array;
};
export type LabelledPhoto = { readonly photo: Photo; readonly label: number };

export type Place = {
  readonly name: string;
  /** Share of each class; they sum to 1. */
  readonly mix: readonly number[];
};

export type Task = {
  readonly name: string;
  /** For people: classes and how frequent they are, what the photos show. */
  readonly about: string;
  readonly source: string;
  readonly licence: string;
  readonly labels: readonly string[];
  /** What models were trained on; a retraining replays it. */
  readonly base: readonly LabelledPhoto[];
  /** What packages are made with. */
  readonly validation: readonly LabelledPhoto[];
  /** What cameras see. */
  readonly seen: readonly LabelledPhoto[];
  /** The first has the validation set's mix. */
  readonly places: readonly Place[];
  /** Folders of a model: see modelFiles. */
  readonly edge: string;
  readonly cloud: string;
  /** Pixels of a side of a camera's frame. */
  readonly frameSide: number;
};

type Described = Omit<Task, "name" | "places">;

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const DATA = join(ROOT, "lab/tasks/data");

const sources: Readonly<Record<string, () => Promise<Described>>> = {
  objects,
  digits,
  water: () => committed("water"),
  letters: () => committed("letters"),
  instruments: () => committed("instruments"),
  fashion: () => committed("fashion"),
  scripts: () => committed("scripts"),
};

export const taskNames: readonly string[] = Object.keys(sources);
/** Nothing is tuned on these: a method's figure on them is the one to believe. */
export const heldOutTasks: readonly string[] = ["fashion", "scripts"];

const opened = new Map<string, Promise<Task>>();

/** Decodes all of a task's photos, once in a process. */
export async function openTask(name: string): Promise<Task> {
  const source = sources[name];
  if (source === undefined) throw new Error(`no task "${name}": ${taskNames.join(", ")}`);
  const task =
    opened.get(name) ?? source().then((described) => ({ name, ...described, places: placesOf(name, described) }));
  opened.set(name, task);
  return task;
}

/** `choice`: "all", "seen" (without those held out), or names with commas between them. */
export async function openTasks(choice: string): Promise<readonly Task[]> {
  return Promise.all(chosenTasks(choice).map(openTask));
}

function chosenTasks(choice: string): readonly string[] {
  if (choice === "all") return taskNames;
  if (choice === "seen") return taskNames.filter((name) => !heldOutTasks.includes(name));
  const names = choice.split(",").map((name) => name.trim());
  const unknown = names.filter((name) => !taskNames.includes(name));
  if (unknown.length === 0) return [...new Set(names)];
  throw new Error(`no task "${unknown.join(", ")}": all, seen, or of ${taskNames.join(", ")} with commas between them`);
}

/** A photo as a camera sees it, before it is encoded. */
export async function pictureOf({ frameSide }: Pick<Task, "frameSide">, { pixels, ...raw }: Photo): Promise<Picture> {
  const enlarged = sharp(pixels, { raw }).resize(frameSide, frameSide, { kernel: "cubic" });
  const data = await (raw.channels === 1 ? enlarged.toColourspace("b-w") : enlarged).raw().toBuffer();
  return { width: frameSide, height: frameSide, channels: raw.channels, data: new Uint8Array(data) };
}

/** A camera's JPEG of a picture. */
export async function jpegOf({ data, ...raw }: Picture): Promise<Buffer> {
  const image = sharp(data, { raw });
  const coloured = raw.channels === 1 ? image.toColourspace("b-w") : image;
  return coloured.jpeg({ quality: 90, chromaSubsampling: "4:2:0" }).toBuffer();
}

/** A camera's JPEG of a photo. */
export async function frameOf(task: Pick<Task, "frameSide">, photo: Photo): Promise<Buffer> {
  return jpegOf(await pictureOf(task, photo));
}

/** Of a task's edge or cloud folder: what `tributary models pack` takes. */
export function modelFiles(dir: string): {
  readonly model: string;
  readonly labels: string;
  readonly preprocess: string;
} {
  // The sample's models are packages.
  const isPackage = dir.startsWith(join(ROOT, "models"));
  const [labels, preprocess] = isPackage
    ? ["labels.json", "preprocessor_config.json"]
    : ["labels.txt", "preprocess.json"];
  return { model: join(dir, "model.onnx"), labels: join(dir, labels), preprocess: join(dir, preprocess) };
}

/** A sheet's file, and the class of each of its photos. */
type Split = { readonly file: string; readonly labels: readonly number[] };

type Index = Pick<Task, "about" | "source" | "licence" | "labels" | "frameSide"> & {
  readonly width: number;
  readonly height: number;
  readonly channels: 1 | 3;
  readonly columns: number;
  readonly splits: Readonly<Record<"base" | "validation" | "seen", Split>>;
};

/** A task of lab/tasks/data. */
async function committed(name: string): Promise<Described> {
  const dir = join(DATA, name);
  const index = JSON.parse(await readFile(join(dir, "index.json"), "utf8")) as Index;
  const { splits, columns, width, height, channels, ...described } = index;
  const photosOf = async ({ file, labels }: Split): Promise<readonly LabelledPhoto[]> => {
    const tiles = await sheetTiles(join(dir, file), { width, height, channels, columns }, labels.length);
    return tiles.map((pixels, i) => ({ photo: { width, height, channels, pixels }, label: labels[i] as number }));
  };
  return {
    ...described,
    base: await photosOf(splits.base),
    validation: await photosOf(splits.validation),
    seen: await photosOf(splits.seen),
    edge: join(dir, "edge"),
    cloud: join(dir, "cloud"),
  };
}

/** Splits of the sample's photos, in their order. Its models were trained on others, which are not committed. */
const OBJECTS = { base: [0, 2_000], validation: [2_000, 2_500], seen: [2_500, 5_000] } as const;

async function objects(): Promise<Described> {
  const all = (await samplePhotos()).map(({ pixels, label }): LabelledPhoto => {
    return { photo: { width: 32, height: 32, channels: 3, pixels }, label };
  });
  const edge = join(ROOT, "models/edge-resnet8");
  return {
    about: "ten classes, equally often, colour photos of 32x32: animals and machines",
    source: "CIFAR-10 (Krizhevsky, 2009), its test photos, in samples/cifar10-test",
    licence: "none stated by its authors",
    labels: JSON.parse(await readFile(modelFiles(edge).labels, "utf8")) as readonly string[],
    base: all.slice(...OBJECTS.base),
    validation: all.slice(...OBJECTS.validation),
    seen: all.slice(...OBJECTS.seen),
    edge,
    cloud: join(ROOT, "models/cloud-vgg"),
    frameSide: 160,
  };
}

type Digits = {
  readonly classes: readonly string[];
  readonly side: number;
  readonly training: number;
  readonly validation: number;
  readonly labels: readonly number[];
  /** Base64. */
  readonly pixels: string;
};

async function digits(): Promise<Described> {
  const folder = join(ROOT, "samples/digits");
  const text = await readFile(join(folder, "photos.json"), "utf8");
  const { classes, side, training, validation, labels, pixels } = JSON.parse(text) as Digits;
  const bytes = Buffer.from(pixels, "base64");
  const all = labels.map((label, i): LabelledPhoto => {
    const own = bytes.subarray(i * side * side, (i + 1) * side * side);
    return { photo: { width: side, height: side, channels: 1, pixels: own }, label };
  });
  return {
    about: "two classes, equally often, grey photos of 8x8: even or odd digits of handwriting",
    source: "scikit-learn's digits (UCI), in samples/digits",
    licence: "CC BY 4.0",
    labels: classes,
    base: all.slice(0, training),
    validation: all.slice(training, training + validation),
    seen: all.slice(training + validation),
    edge: join(folder, "edge"),
    cloud: join(folder, "cloud"),
    frameSide: 300,
  };
}
