/** What a package is made from: the model's file, its labels, its preprocessing, its lineage. */
import { readFile } from "node:fs/promises";
import {
  type Preprocessing,
  packagedPreprocessing,
  packageFiles,
  parseLabels,
  parsePreprocessing,
} from "@tributary/inference";
import { Failure, reasonOf } from "@tributary/kernel";
import { type ModelFacts, modelFacts } from "@tributary/onnx";
import { encodeJson } from "./documents.ts";
import type { Json } from "./readings.ts";

export type Sources = {
  /** By their names in the package. */
  readonly files: Readonly<Record<string, Uint8Array>>;
  readonly facts: ModelFacts;
  readonly labels: readonly string[];
  readonly preprocessing: Preprocessing;
  /** The file that describes it, as it goes into the package. */
  readonly config: Json;
  readonly lineage: Readonly<Record<string, string>>;
};

export type SourcePaths = {
  readonly model: string;
  readonly labels: string;
  readonly preprocess: string;
  readonly lineage?: string;
};

export async function readSources(paths: SourcePaths): Promise<Sources> {
  const [model, labelsFile, preprocess] = await Promise.all([
    read("--model", paths.model),
    read("--labels", paths.labels),
    read("--preprocess", paths.preprocess),
  ]);
  const config = packagedPreprocessing(parseJson("--preprocess", paths.preprocess, preprocess));
  const facts = modelFacts(model);
  if (facts === null) throw invalid(`--model ${paths.model}: this is no ONNX model that can be read`);
  const { bytes, labels } = labelsOf(paths.labels, labelsFile);
  return {
    files: {
      [packageFiles.model]: model,
      [packageFiles.labels]: bytes,
      [packageFiles.preprocessor]: encodeJson(config),
    },
    facts,
    labels,
    preprocessing: parsePreprocessing(config),
    config,
    lineage: paths.lineage === undefined ? {} : lineageOf(paths.lineage, await read("--lineage", paths.lineage)),
  };
}

/** One label a line, or a JSON array; JSON goes into the package as it is. */
function labelsOf(path: string, bytes: Uint8Array): { readonly bytes: Uint8Array; readonly labels: readonly string[] } {
  const text = new TextDecoder().decode(bytes);
  if (text.trimStart().startsWith("[")) {
    return { bytes, labels: parseLabels(parseJson("--labels", path, bytes)) };
  }
  const lines = text.split(/\r?\n/).map((line) => line.trim());
  while (lines.at(-1) === "") lines.pop();
  const empty = lines.indexOf("");
  if (empty >= 0) throw invalid(`--labels ${path}: line ${empty + 1} is empty; every line is a label`);
  const labels = parseLabels(lines);
  return { bytes: encodeJson(labels), labels };
}

function lineageOf(path: string, bytes: Uint8Array): Readonly<Record<string, string>> {
  const json = parseJson("--lineage", path, bytes);
  const isGood =
    json !== null &&
    typeof json === "object" &&
    !Array.isArray(json) &&
    Object.values(json).every((value) => typeof value === "string");
  if (!isGood) throw invalid(`--lineage ${path}: expected one JSON object of texts`);
  return json as Readonly<Record<string, string>>;
}

async function read(option: string, path: string): Promise<Uint8Array> {
  return readFile(path).catch((error: unknown) => {
    throw invalid(`${option} ${path}: ${reasonOf(error)}`);
  });
}

function parseJson(option: string, path: string, bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch (error) {
    throw invalid(`${option} ${path}: not JSON: ${reasonOf(error)}`);
  }
}

const invalid = (message: string) => new Failure("pack-source-invalid", "ask-a-person", message);
