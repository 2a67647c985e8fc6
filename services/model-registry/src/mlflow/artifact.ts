/** What a model version of MLflow is, by its files: a package, or an ONNX model with what packing needs. */
import { readdir, readFile, writeFile } from "node:fs/promises";
import { basename, dirname, join, relative } from "node:path";
import { packageFiles } from "@tributary/inference";
import { Failure, reasonOf } from "@tributary/kernel";
import { inlineExternalData } from "@tributary/onnx";
import { parse } from "yaml";

export type Artifact =
  | { readonly kind: "package"; readonly dir: string }
  | { readonly kind: "onnx"; readonly model: string; readonly labels: string; readonly preprocess: string };

const LABELS = ["labels.json", "labels.txt"];

export async function artifactOf(dir: string): Promise<Artifact> {
  const files = await filesOf(dir);
  // The nearest one: a package holds no other.
  const manifest = files.find((path) => basename(path) === packageFiles.manifest);
  if (manifest !== undefined) return { kind: "package", dir: dirname(join(dir, manifest)) };
  const description = files.find((path) => basename(path) === "MLmodel");
  if (description === undefined) {
    const found = files.slice(0, 10).join(", ") || "nothing";
    throw unusable(`neither a package (manifest.json) nor an MLflow model (MLmodel); it has ${found}`);
  }
  const model = await withWeights(await onnxOf(join(dir, description)));
  const labels = files.find((path) => LABELS.includes(basename(path)));
  const preprocess = files.find((path) => basename(path) === packageFiles.preprocessor);
  const missing = [
    ...(labels === undefined ? ["labels.json or labels.txt"] : []),
    ...(preprocess === undefined ? [packageFiles.preprocessor] : []),
  ];
  if (labels === undefined || preprocess === undefined) {
    const message = `beside its ONNX model it lacks ${missing.join(" and ")}, as for tributary models pack: log them with the model`;
    throw unusable(message);
  }
  return { kind: "onnx", model, labels: join(dir, labels), preprocess: join(dir, preprocess) };
}

async function onnxOf(file: string): Promise<string> {
  let described: { flavors?: { onnx?: { data?: unknown } } } | null;
  try {
    described = parse(await readFile(file, "utf8"), { maxAliasCount: 10 });
  } catch (error) {
    throw unusable(`its MLmodel cannot be read: ${reasonOf(error)}`);
  }
  const flavors = described?.flavors ?? {};
  const data = flavors.onnx?.data;
  if (typeof data !== "string" || data.startsWith("/") || data.split("/").includes("..")) {
    throw unusable(`it has no onnx flavour (${Object.keys(flavors).join(", ") || "none"}): log it with mlflow.onnx`);
  }
  return join(dirname(file), data);
}

/** MLflow writes weights beside the model by default; a package has them inside. */
async function withWeights(model: string): Promise<string> {
  const folder = dirname(model);
  const bytes = await readFile(model).catch((error: unknown) => {
    throw unusable(`its MLmodel names ${basename(model)}: ${reasonOf(error)}`);
  });
  const beside = new Map<string, Buffer>();
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    // Only files that came with it, by their plain names.
    if (entry.isFile() && bytes.includes(entry.name)) beside.set(entry.name, await readFile(join(folder, entry.name)));
  }
  const whole = inlineExternalData(bytes, (location) => beside.get(location));
  if (whole.equals(bytes)) return model;
  const path = `${model}.whole`;
  await writeFile(path, whole);
  return path;
}

/** Relative, the nearest first. */
async function filesOf(dir: string): Promise<readonly string[]> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true });
  const depthOf = (path: string) => path.split("/").length;
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => relative(dir, join(entry.parentPath, entry.name)))
    .sort((a, b) => depthOf(a) - depthOf(b) || (a < b ? -1 : 1));
}

const unusable = (what: string) => new Failure("mlflow-model-unusable", "give-up", what);
