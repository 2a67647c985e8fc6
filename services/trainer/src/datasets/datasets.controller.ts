/** Base sets are pushed here, and dataset versions are read; their records are the gateway's to show. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { Body, Controller, Inject, Param, Req, Res } from "@nestjs/common";
import { type BaseSetRequest, trainerApi } from "@tributary/api";
import { type BlobStore, checkedDigest } from "@tributary/blob-store";
import type { Dataset } from "@tributary/contracts";
import { Failure, reasonOf } from "@tributary/kernel";
import { Problem, Serves, Validated } from "@tributary/service-kit";
import { datasetDetail } from "@tributary/training/dataset";
import { Runs } from "../runs/runs.ts";
import { BaseSets } from "./base-sets.ts";
import { DatasetStore } from "./dataset-store.ts";
import { dvcName, dvcText } from "./dvc.ts";
import { KafkaDatasets } from "./kafka-datasets.ts";

export const UPLOADS = Symbol("Uploads");

const { datasets, blobs } = trainerApi;
const UPLOADS_MAX = 8;
const BLOB_BYTES_MAX = 24 << 20;
const PUSH_MS_MAX = 900_000;

@Controller()
export class DatasetsController {
  #uploads = 0;
  #isPushing = false;

  constructor(
    @Inject(UPLOADS) private readonly blobs: BlobStore,
    private readonly sets: BaseSets,
    private readonly store: DatasetStore,
    private readonly datasets: KafkaDatasets,
    private readonly runs: Runs,
  ) {}

  /** Answers once it is frozen and its record written. */
  @Serves(datasets.push)
  async push(
    @Param("model") model: string,
    @Body(new Validated(datasets.push.body)) { manifestDigest, by }: BaseSetRequest,
    @Res() response: ServerResponse,
  ): Promise<void> {
    const { owner } = this.runs;
    const classes = this.datasets.classesOf(model);
    if (classes === null) {
      const detail = `There is no champion of ${model}: push and roll out a version first, which lists its classes.`;
      throw new Problem(404, "model-unknown", "give-up", detail);
    }
    if (this.#isPushing) throw busy("another base set is being pushed");
    this.#isPushing = true;
    try {
      const request = { model, classes, manifestDigest, by };
      const dataset = await this.sets.freeze(request, AbortSignal.timeout(PUSH_MS_MAX)).catch(refuse);
      const before = this.datasets.table.base(model);
      const isNew = before?.md5 !== dataset.md5;
      if (isNew) await owner.writeDataset(dataset);
      response.writeHead(isNew ? 201 : 200, { "content-type": "application/json" });
      response.end(JSON.stringify(datasetDetail(isNew ? dataset : before)));
    } finally {
      this.#isPushing = false;
    }
  }

  @Serves(datasets.manifest)
  async manifest(
    @Param("model") model: string,
    @Param("version") version: string,
    @Res() response: ServerResponse,
  ): Promise<void> {
    const text = await this.store.manifest(this.#known(model, version)).catch(refuse);
    response.writeHead(200, { "content-type": "application/x-ndjson" });
    response.end(text);
  }

  @Serves(datasets.dvc)
  dvc(@Param("model") model: string, @Param("version") version: string, @Res() response: ServerResponse): void {
    const dataset = this.#known(model, version);
    const name = { "content-disposition": `attachment; filename="${dvcName(dataset)}.dvc"` };
    response.writeHead(200, { "content-type": "application/yaml", ...name });
    response.end(dvcText(dataset));
  }

  @Serves(blobs.has)
  async has(@Param("digest") name: string, @Res() response: ServerResponse): Promise<void> {
    const size = await this.blobs.size(digestOf(name)).catch(refuse);
    response.writeHead(size === undefined ? 404 : 200);
    response.end();
  }

  @Serves(blobs.put)
  async put(
    @Param("digest") name: string,
    @Req() request: IncomingMessage,
    @Res() response: ServerResponse,
  ): Promise<void> {
    const digest = digestOf(name);
    if (request.readableEnded) {
      throw new Problem(400, "blob-media-type", "give-up", "Send the bytes as application/octet-stream.");
    }
    if (this.#uploads >= UPLOADS_MAX) throw busy("too many uploads at once");
    this.#uploads += 1;
    try {
      const { bytes } = await this.blobs.put(request, { expected: digest, bytesMax: BLOB_BYTES_MAX }).catch(refuse);
      response.writeHead(201, { "content-type": "application/json" });
      response.end(JSON.stringify({ digest, bytes }));
    } finally {
      this.#uploads -= 1;
    }
  }

  #known(model: string, version: string): Dataset {
    const dataset = this.datasets.get(model, version);
    if (dataset !== undefined) return dataset;
    throw new Problem(404, "dataset-unknown", "give-up", `There is no dataset ${model}/${version}.`);
  }
}

function digestOf(name: string): string {
  try {
    return checkedDigest(name);
  } catch (error) {
    throw new Problem(400, "blob-digest-malformed", "give-up", `${reasonOf(error)}.`);
  }
}

const busy = (what: string) =>
  new Problem(503, "trainer-busy", "retry", `It is busy: ${what}. Try again.`, { headers: { "Retry-After": "1" } });

/** What was sent is refused with 422; what stands in the way here with 503. */
function refuse(error: unknown): never {
  if (!(error instanceof Failure)) throw error;
  const status = error.advice === "retry" || error.code === "blob-store-full" ? 503 : 422;
  throw new Problem(status, error.code, error.advice, `${error.message}.`);
}
