import { Controller, Inject, Param, Query, StreamableFile } from "@nestjs/common";
import { type DatasetQuery, publicApi, trainerApi } from "@tributary/api";
import type { Dataset } from "@tributary/contracts";
import { Problem, Serves } from "@tributary/service-kit";
import { DatasetTable, datasetDetail, datasetView } from "@tributary/training/dataset";
import type { Upstream } from "../forwarding/upstream.ts";
import { Valid } from "../http/validated.ts";
import { TRAINER } from "../trainings/training-table.ts";

const routes = publicApi.datasets;
const trainer = trainerApi.datasets;
/** Of 100,000 frames, the most that a version has. */
export const MANIFEST_BYTES_MAX = 64 * 1024 * 1024;
const DVC_BYTES_MAX = 64 * 1024;

type Named = { readonly model: string; readonly version: string };

@Controller()
export class DatasetsController {
  constructor(
    private readonly table: DatasetTable,
    @Inject(TRAINER) private readonly upstream: Upstream,
  ) {}

  @Serves(routes.list)
  list(@Query(Valid(routes.list.query)) { limit, ...filter }: DatasetQuery) {
    return { items: this.table.list(filter).slice(0, limit).map(datasetView) };
  }

  @Serves(routes.one)
  one(@Param() named: Named) {
    return datasetDetail(this.#known(named));
  }

  @Serves(routes.manifest)
  async manifest(@Param() named: Named) {
    const { model, version } = this.#known(named);
    const text = await this.upstream.bytes(trainer.manifest, { model, version }, MANIFEST_BYTES_MAX);
    return new StreamableFile(text, { type: routes.manifest.response.mediaType });
  }

  @Serves(routes.dvc)
  async dvc(@Param() named: Named) {
    const { model, version } = this.#known(named);
    const text = await this.upstream.bytes(trainer.dvc, { model, version }, DVC_BYTES_MAX);
    return new StreamableFile(text, { type: routes.dvc.response.mediaType });
  }

  /** @throws Problem */
  #known({ model, version }: Named): Dataset {
    const dataset = this.table.one(model, version);
    if (dataset !== null) return dataset;
    const detail = `No version ${version} of a dataset of ${model} is known. GET /api/v1/datasets lists them.`;
    throw new Problem(404, "dataset-unknown", "give-up", detail);
  }
}
