/** Dataset versions as the topic has them, and as people see them. */
import type { Dataset, DatasetPart } from "@tributary/contracts";
import type { DatasetFrame } from "../job.ts";

export const datasetReference = ({ model, version }: Pick<Dataset, "model" | "version">): string =>
  `${model}/${version}`;

/** What a dataset of these frames consists of. */
export function datasetContents(
  frames: readonly DatasetFrame[],
): Pick<Dataset, "frames" | "parts" | "labelSources" | "devices"> {
  const parts = new Map<string, { slice: string; split: DatasetFrame["split"]; classes: Map<string, number> }>();
  const labelSources = new Map<string, number>();
  const devices = new Set<string>();
  for (const { slice, split, label, labelSource, deviceId } of frames) {
    const key = `${slice}\n${split}`;
    const part = parts.get(key) ?? { slice, split, classes: new Map() };
    part.classes.set(label, (part.classes.get(label) ?? 0) + 1);
    parts.set(key, part);
    labelSources.set(labelSource, (labelSources.get(labelSource) ?? 0) + 1);
    if (deviceId !== "") devices.add(deviceId);
  }
  const inOrder = [...parts].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, part]) => part);
  return {
    frames: frames.length,
    parts: inOrder.map(({ slice, split, classes }): DatasetPart => {
      const counts = [...classes].sort(([a], [b]) => (a < b ? -1 : 1));
      return { slice, split, frames: counts.reduce((sum, [, n]) => sum + n, 0), classes: Object.fromEntries(counts) };
    }),
    labelSources: Object.fromEntries([...labelSources].sort(([a], [b]) => (a < b ? -1 : 1))),
    devices: devices.size,
  };
}

/** As the API shows one; `query` is left to those who show it whole. */
export function datasetView({ query: _, bytes, createdAt, ...dataset }: Dataset) {
  return { ...dataset, bytes: Number(bytes), createdAt: new Date(createdAt).toISOString() };
}

export function datasetDetail(dataset: Dataset) {
  return { ...datasetView(dataset), query: JSON.parse(dataset.query) as Record<string, unknown> };
}

/** The fold of datasets.v1. Versions never change, and a repeated record is the same. */
export class DatasetTable {
  readonly #datasets = new Map<string, Dataset>();

  put(dataset: Dataset): void {
    this.#datasets.set(datasetReference(dataset), dataset);
  }

  one(model: string, version: string): Dataset | null {
    return this.#datasets.get(datasetReference({ model, version })) ?? null;
  }

  /** The newest first. */
  list(filter: { readonly model?: string | undefined; readonly kind?: string | undefined } = {}): readonly Dataset[] {
    const { model, kind } = filter;
    return [...this.#datasets.values()]
      .filter((one) => (model === undefined || one.model === model) && (kind === undefined || one.kind === kind))
      .sort((a, b) => b.createdAt - a.createdAt || (datasetReference(a) < datasetReference(b) ? -1 : 1));
  }

  /** The base set that is replayed in trainings of the model. */
  base(model: string): Dataset | null {
    return this.list({ model, kind: "BASE" })[0] ?? null;
  }
}
