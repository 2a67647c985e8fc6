/**
 * Versions of datasets as the trainer publishes them. A version never changes, so the newest record of a key holds. Memory is
 * bounded (G9): of `rememberedMax` versions, those that were frozen first are forgotten first.
 */
import { type Dataset, topics } from "@tributary/contracts";
import { type FollowContext, type Following, follow } from "@tributary/kafka";

export class DatasetTable {
  readonly #rememberedMax: number;
  /** By MODEL/VERSION; those that were written last are last. */
  readonly #datasets = new Map<string, Dataset>();

  constructor(rememberedMax: number) {
    this.#rememberedMax = rememberedMax;
  }

  follow(context: FollowContext): Promise<Following> {
    return follow(context, topics.datasets, (dataset, { key }) => {
      if (dataset !== null) this.frozen(dataset);
      else this.#datasets.delete(key ?? "");
    });
  }

  frozen(dataset: Dataset): void {
    const key = keyOf(dataset);
    this.#datasets.delete(key);
    this.#datasets.set(key, dataset);
    const oldest = this.#datasets.keys().next();
    if (this.#datasets.size > this.#rememberedMax && !oldest.done) this.#datasets.delete(oldest.value);
  }

  get(model: string, version: string): Dataset | undefined {
    return this.#datasets.get(keyOf({ model, version }));
  }
}

const keyOf = ({ model, version }: Pick<Dataset, "model" | "version">): string => `${model}/${version}`;
