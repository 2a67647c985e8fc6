/** Tasks of several shapes made of real photos: classes, how frequent they are, a real model, and its true description. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { seededRandom } from "@tributary/kernel";
import { frameOf, heldOutTasks, modelFiles, openTask, openTasks, taskNames } from "@tributary/tasks";
import { type SampleFrame, sampleFrames } from "@tributary/testing";
import { derivedModel, type Json } from "./models.ts";

export type Task = {
  readonly name: string;
  /** Classes and frames of one split, and what the model takes. */
  readonly shape: string;
  readonly labels: readonly string[];
  readonly model: Uint8Array;
  /** The right `preprocessor_config.json`. */
  readonly described: Json;
  /** All photos, class by their label. */
  readonly photos: readonly SampleFrame[];
  /** Validation frames of each class in one split. */
  readonly framesPerClass: readonly number[];
};

const ROOT = fileURLToPath(new URL("../../../../", import.meta.url));
/** Of which splits are drawn. */
const PHOTOS = 2_500;
const ANIMALS = [2, 3, 4, 5, 6, 7];
const MACHINES = [0, 1, 8, 9];
const NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];
const RESIZED = { do_resize: true, size: { height: 32, width: 32 }, resample: 3 };
const PLAIN = { ...RESIZED, do_rescale: true, rescale_factor: 1 / 255 };

/** Class names with the outputs of the committed models that they are made of. */
type Classes = Readonly<Record<string, readonly number[]>>;

/** Names of tasks whose photos or models are the sample's or the digits'; the others are lab/tasks', with their edge models. */
const OWN_NAMES = ["ten", "cat-dog", "bird", "machine", "animals", "digits-edge", "digits-cloud"];
const OTHER_NAMES = taskNames.filter((name) => name !== "objects" && name !== "digits");

/** `choice`: "all", "seen" (without those that lab/tasks holds out), or names with commas between them. */
export async function packingTasks(choice: string): Promise<readonly Task[]> {
  const all = [...OWN_NAMES, ...OTHER_NAMES];
  const seen = all.filter((name) => !heldOutTasks.includes(name));
  const names = choice === "all" ? all : choice === "seen" ? seen : choice.split(",").map((name) => name.trim());
  const unknown = names.filter((name) => !all.includes(name));
  if (unknown.length > 0) throw new Error(`--tasks ${unknown.join(", ")}: all, seen, or of ${all.join(", ")}`);
  const isOwn = names.some((name) => OWN_NAMES.includes(name));
  const own = isOwn ? (await ownTasks()).filter(({ name }) => names.includes(name)) : [];
  const others = names.filter((name) => OTHER_NAMES.includes(name));
  return [...own, ...(others.length === 0 ? [] : await committedTasks(others))];
}

async function committedTasks(names: readonly string[]): Promise<readonly Task[]> {
  const tasks = await openTasks(names.join(","));
  return Promise.all(
    tasks.map(({ name, about, labels, validation, frameSide }) => {
      const framesPerClass = labels.map((_, label) => validation.filter((one) => one.label === label).length);
      return committedTask({ name, shape: about, of: name, which: "edge", frameSide, framesPerClass });
    }),
  );
}

async function ownTasks(): Promise<readonly Task[]> {
  const photos = await sampleFrames(PHOTOS);
  const [edge, cloud] = (await Promise.all(
    ["edge-resnet8", "cloud-vgg"].map((name) => readFile(join(ROOT, "models", name, "model.onnx"))),
  )) as [Buffer, Buffer];
  const committed = JSON.parse(
    await readFile(join(ROOT, "models/edge-resnet8/preprocessor_config.json"), "utf8"),
  ) as Json;
  const others = NAMES.map((_, i) => i).filter((i) => i !== 2);
  const derived = (
    name: string,
    shape: string,
    model: Uint8Array,
    classes: Classes,
    described: Json,
    framesPerClass: readonly number[],
  ): Task => ({
    name,
    shape,
    labels: Object.keys(classes),
    model: derivedModel(model, Object.values(classes), described),
    described,
    photos: photosOf(photos, Object.values(classes)),
    framesPerClass,
  });
  return [
    {
      name: "ten",
      shape: "ten classes, 50 each; the edge model as it is",
      labels: NAMES,
      model: edge,
      described: committed,
      photos,
      framesPerClass: NAMES.map(() => 50),
    },
    derived(
      "cat-dog",
      "cat or dog, 60 each; pixels 0 to 1",
      edge,
      { cat: [3], dog: [5] },
      { ...PLAIN, do_normalize: false },
      [60, 60],
    ),
    derived(
      "bird",
      "bird 40, others 360; pixels 0 to 255, channels last",
      edge,
      { bird: [2], other: others },
      { ...RESIZED, do_rescale: false, do_normalize: false, data_format: "channels_last" },
      [40, 360],
    ),
    derived(
      "machine",
      "machine 30, animal 270; pixels -1 to 1, BGR",
      edge,
      { animal: ANIMALS, machine: MACHINES },
      { ...PLAIN, do_normalize: true, image_mean: [0.5, 0.5, 0.5], image_std: [0.5, 0.5, 0.5], channel_order: "BGR" },
      [270, 30],
    ),
    derived(
      "animals",
      "six animals, 50 each; ImageNet's mean; the cloud model",
      cloud,
      Object.fromEntries(ANIMALS.map((place) => [NAMES[place] as string, [place]])),
      { ...PLAIN, do_normalize: true, image_mean: [0.485, 0.456, 0.406], image_std: [0.229, 0.224, 0.225] },
      ANIMALS.map(() => 50),
    ),
    await digits("digits-edge", "digits even or odd, 75 each; grey, pixels -1 to 1", "edge"),
    await digits("digits-cloud", "digits even or odd, 75 each; grey, channels last", "cloud"),
  ];
}

/** Frames of one split: drawn by seed within each class. */
export function splitOf({ photos, framesPerClass }: Task, seed: number): readonly SampleFrame[] {
  const random = seededRandom(seed);
  const lots = new Map(photos.map((photo) => [photo, random()]));
  const drawn = [...photos].sort((a, b) => (lots.get(a) as number) - (lots.get(b) as number));
  return framesPerClass.flatMap((count, label) => drawn.filter((photo) => photo.label === label).slice(0, count));
}

function photosOf(photos: readonly SampleFrame[], groups: readonly (readonly number[])[]): readonly SampleFrame[] {
  return photos.flatMap(({ jpeg, label }) => {
    const place = groups.findIndex((group) => group.includes(label));
    return place < 0 ? [] : [{ jpeg, label: place }];
  });
}

/** scikit-learn's digits that the models of samples/digits were not trained on. Cameras of 320 pixels: a frame never has the
 * size that a model takes. */
export const digits = (name: string, shape: string, which: "edge" | "cloud"): Promise<Task> =>
  committedTask({ name, shape, of: "digits", which, frameSide: 320, framesPerClass: [75, 75] });

type Committed = Pick<Task, "name" | "shape" | "framesPerClass"> & {
  /** Of lab/tasks. */
  readonly of: string;
  readonly which: "edge" | "cloud";
  readonly frameSide: number;
};

/** With all photos that its models were not trained on. */
async function committedTask({ name, shape, framesPerClass, of, which, frameSide }: Committed): Promise<Task> {
  const task = await openTask(of);
  const files = modelFiles(task[which]);
  const described = JSON.parse(await readFile(files.preprocess, "utf8")) as Json;
  const photos = await Promise.all(
    [...task.validation, ...task.seen].map(async ({ photo, label }): Promise<SampleFrame> => {
      return { jpeg: await frameOf({ frameSide }, photo), label };
    }),
  );
  const model = await readFile(files.model);
  return { name, shape, labels: task.labels, model, described, photos, framesPerClass };
}
