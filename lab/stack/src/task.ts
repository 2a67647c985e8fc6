/** The task of a run: its models and the cameras' pictures. All errors are reported at once, before
 * anything is started. */
import { accessSync, constants, existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { delimiter, join, resolve } from "node:path";
import type { ModelPackage } from "@tributary/inference";
import { reasonOf } from "@tributary/kernel";
import { loadPackage } from "@tributary/model-store";
import { wordsOf } from "./command-words.ts";
import { type StartOptions, startedIn } from "./options.ts";
import { cloudPackage, edgePackage } from "./paths.ts";

export type Camera =
  | { readonly kind: "sample" }
  | {
      readonly kind: "folder";
      readonly folder: string;
      readonly photos: readonly string[];
      /** Class by file; undefined: nobody knows what photos show. */
      readonly labels: ReadonlyMap<string, string> | undefined;
    }
  | { readonly kind: "command"; readonly text: string; readonly command: readonly string[] };

export type Task = {
  readonly edge: ModelPackage;
  readonly cloud: ModelPackage;
  readonly camera: Camera;
  readonly devices: number;
};

type Wanted = Pick<StartOptions, "packages" | "camera" | "labels" | "lightDevices" | "devices" | "fps">;
export type Resolved =
  | { readonly kind: "task"; readonly task: Task }
  | { readonly kind: "wrong"; readonly problems: readonly string[] };

export async function taskOf(options: Wanted): Promise<Resolved> {
  const problems: string[] = [];
  const { packages } = options;
  const load = async (option: string, dir: string) => {
    try {
      return await loadPackage(dir);
    } catch (error) {
      problems.push(`--${option} ${dir}: ${reasonOf(error)}; npx tributary models pack makes packages`);
      return undefined;
    }
  };
  const edge = await load("edge-package", packages?.edge ?? edgePackage);
  const cloud = await load("cloud-package", packages?.cloud ?? cloudPackage);
  if (edge?.policy === null) problems.push(withoutPolicy(edge.dir, packages?.cloud));
  if (edge !== undefined && cloud !== undefined) problems.push(...differentClasses(edge, cloud));
  if (packages !== undefined && options.camera === undefined && edge !== undefined)
    problems.push(...differentFromSamples(edge, await loadPackage(edgePackage)));
  const camera = cameraOf(options, edge?.labels ?? [], problems);
  if (edge === undefined || cloud === undefined || problems.length > 0) return { kind: "wrong", problems };
  const devices = options.devices ?? (camera.kind === "command" ? 1 : 4);
  return { kind: "task", task: { edge, cloud, camera, devices } };
}

export const nameOf = ({ manifest }: ModelPackage): string => `${manifest.name} ${manifest.version}`;

/** For the person who started it. */
export function taskLines({ edge, cloud, camera }: Task): string[] {
  const models = `models: ${nameOf(edge)} on devices, ${nameOf(cloud)} in the cloud; ${edge.labels.length} classes`;
  switch (camera.kind) {
    case "sample":
      return [models, "camera: the sample photos"];
    case "command":
      return [models, `camera: ${camera.text}; no labels, so accuracy is unknown`];
    case "folder": {
      const { folder, photos, labels } = camera;
      const what = `camera: ${folder}, ${photos.length} photos, repeated`;
      if (labels === undefined) return [models, `${what}; no labels, so accuracy is unknown`];
      const labeller =
        "labels: this program labels the random sample in place of people, so the router relearns and rollouts";
      return [models, `${what}, ${labels.size} with labels`, `${labeller} are analysed by accuracy`];
    }
    default:
      return camera satisfies never;
  }
}

const withoutPolicy = (dir: string, cloud = "DIR"): string =>
  `--edge-package ${dir}: it has no policy.json, by which a device decides what to send to the cloud: pack it again with --cloud ${cloud}`;

function differentClasses(edge: ModelPackage, cloud: ModelPackage): string[] {
  const at = [...edge.labels, ...cloud.labels].findIndex((_, i) => edge.labels[i] !== cloud.labels[i]);
  if (at < 0) return [];
  const named = ({ labels }: ModelPackage) =>
    `${labels[at] === undefined ? "none" : `"${labels[at]}"`} of ${labels.length}`;
  return [
    `--cloud-package ${cloud.dir}: class ${at + 1} is ${named(cloud)} here and ${named(edge)} in the edge package: both must ` +
      "name the same classes in the same order",
  ];
}

function differentFromSamples(edge: ModelPackage, sample: ModelPackage): string[] {
  if (edge.labels.join("\n") === sample.labels.join("\n")) return [];
  return [`--edge-package ${edge.dir}: the sample photos show none of its classes: give it pictures with --camera`];
}

function cameraOf(options: Wanted, classes: readonly string[], problems: string[]): Camera {
  const { camera, labels } = options;
  if (camera === undefined) return { kind: "sample" };
  const folder = resolve(startedIn(), camera);
  if (isFolder(folder)) {
    const photos = photosIn(folder, problems);
    const known = labels === undefined ? undefined : labelsOf(labels, folder, photos, classes, problems);
    return { kind: "folder", folder, photos, labels: known };
  }
  if (labels !== undefined) problems.push("--labels needs --camera FOLDER: it names the folder's files");
  if (options.lightDevices > 0)
    problems.push("--light-devices needs --camera FOLDER, or the sample photos, which it chooses from");
  if (options.fps !== undefined) problems.push("--fps needs --camera FOLDER: a program sets its own rate");
  const words = wordsOf(camera);
  if (words.kind === "wrong") {
    problems.push(`--camera ${camera}: ${words.problem}`);
    return { kind: "command", text: camera, command: [] };
  }
  const [program = "", ...args] = words.words;
  const found = programOf(program);
  if (found === undefined) {
    const isThere = program.includes("/") && existsSync(resolve(startedIn(), program));
    const why = isThere ? `${program} is not executable` : `there is no folder of that name, and no program ${program}`;
    problems.push(`--camera ${camera}: ${why}${program.includes("/") ? "" : " on the PATH"}`);
  }
  // It runs where the person is, not where the agent keeps its files.
  const command = ["sh", "-c", 'cd "$0" && exec "$@"', startedIn(), found ?? program, ...args];
  return { kind: "command", text: camera, command };
}

const isFolder = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;

/** In the order of their names, as cameras show them. */
function photosIn(folder: string, problems: string[]): string[] {
  let names: string[] = [];
  try {
    names = readdirSync(folder);
  } catch (error) {
    problems.push(`--camera ${folder}: ${reasonOf(error)}`);
    return [];
  }
  const photos = names.filter((name) => /\.jpe?g$/i.test(name)).sort();
  if (photos.length === 0)
    problems.push(
      `--camera ${folder}: it has no .jpg or .jpeg (${names.length} other entries; folders in it are not read)`,
    );
  const broken = photos.filter((name) => !isWhole(join(folder, name)));
  if (broken.length > 0)
    problems.push(
      `--camera ${folder}: ${broken.length} of ${photos.length} files are not complete JPEGs, e.g. ${broken[0]}`,
    );
  return photos;
}

/** Begins and ends as a JPEG does. One that cannot be decoded all the same is answered by nobody, and counted by the agent. */
function isWhole(file: string): boolean {
  try {
    const bytes = readFileSync(file);
    return bytes.subarray(0, 2).toString("hex") === "ffd8" && bytes.includes(Buffer.from("ffd9", "hex"));
  } catch {
    return false;
  }
}

function labelsOf(
  file: string,
  folder: string,
  photos: readonly string[],
  classes: readonly string[],
  problems: string[],
): ReadonlyMap<string, string> {
  let named: unknown;
  try {
    named = JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    problems.push(`--labels ${file}: ${reasonOf(error)}`);
    return new Map();
  }
  if (named === null || typeof named !== "object" || Array.isArray(named)) {
    problems.push(`--labels ${file}: a JSON object, file -> class, is needed: {"0001.jpg": "${classes[0] ?? "cat"}"}`);
    return new Map();
  }
  const labels = Object.entries(named).map(([photo, label]: [string, unknown]) => [photo, String(label)] as const);
  const wrong = (what: string, ones: readonly (readonly [string, string])[]) => {
    const [first] = ones;
    if (first !== undefined)
      problems.push(`--labels ${file}: ${ones.length} of ${labels.length} ${what}, e.g. ${first[0]}: "${first[1]}"`);
  };
  if (labels.length === 0) problems.push(`--labels ${file}: it has no labels`);
  const [there, known] = [new Set(photos), new Set(classes)];
  wrong(
    `are not names of JPEGs in ${folder}`,
    labels.filter(([photo]) => !there.has(photo)),
  );
  if (classes.length > 0)
    wrong(
      `name a class that the models do not have (${classes.join(", ")})`,
      labels.filter(([, label]) => !known.has(label)),
    );
  return new Map(labels);
}

/** Its path; undefined where there is no such program. */
function programOf(name: string): string | undefined {
  const tried = name.includes("/")
    ? [resolve(startedIn(), name)]
    : (process.env.PATH ?? "").split(delimiter).map((dir) => join(dir, name));
  return tried.find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return statSync(path).isFile();
    } catch {
      return false;
    }
  });
}
