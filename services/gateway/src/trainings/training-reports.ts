/** Pages about trainings: what the tables hold of a run, and the frames that were chosen for it. */
import { Inject, Injectable } from "@nestjs/common";
import { trainerApi } from "@tributary/api";
import type { Dataset, TrainingRun } from "@tributary/contracts";
import { type Clock, Failure } from "@tributary/kernel";
import { ModelTable } from "@tributary/models";
import { CLOCK, Problem } from "@tributary/service-kit";
import { type DatasetFrame } from "@tributary/training";
import { DatasetTable, parseDatasetManifest } from "@tributary/training/dataset";
import { type CandidateGate, type PicturedFrame, reportOf } from "@tributary/training/report";
import { MANIFEST_BYTES_MAX } from "../datasets/datasets.controller.ts";
import type { Upstream } from "../forwarding/upstream.ts";
import { ArchivedFrames } from "../labels/archived-frames.ts";
import { LabelTable } from "../labels/label-table.ts";
import { sliceOf } from "../labels/training-queue.ts";
import { RolloutTable } from "../rollouts/rollout-table.ts";
import { TRAINER, TrainingTable } from "./training-table.ts";

@Injectable()
export class TrainingReports {
  constructor(
    private readonly table: TrainingTable,
    private readonly datasets: DatasetTable,
    private readonly models: ModelTable,
    private readonly rollouts: RolloutTable,
    private readonly archived: ArchivedFrames,
    private readonly labels: LabelTable,
    @Inject(TRAINER) private readonly trainer: Upstream,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  async pageOf(run: TrainingRun): Promise<string> {
    const dataset = this.datasets.one(run.model, run.datasetVersion);
    return reportOf({
      run,
      events: orNothing(() => this.table.history(run.runId)) ?? [],
      dataset,
      chosen: await this.#chosen(run, dataset),
      gate: this.#gateOf(run),
      rollout: orNothing(() => this.rollouts.get(run.rolloutUid)) ?? null,
      imageOf: (frameId) => `/api/v1/frames/${encodeURIComponent(frameId)}/image`,
    });
  }

  /** Of a frozen dataset those of its manifest; else, or if the trainer cannot be asked, the labelled ones of the slice. */
  async #chosen(run: TrainingRun, dataset: Dataset | null): Promise<readonly PicturedFrame[]> {
    if (dataset === null || !this.trainer.isConfigured) return this.#labelled(run);
    const { model, version } = dataset;
    try {
      const manifest = await this.trainer.bytes(trainerApi.datasets.manifest, { model, version }, MANIFEST_BYTES_MAX);
      return parseDatasetManifest(manifest.toString("utf8"))
        .filter(({ frameId }) => frameId !== "")
        .map(picturedFrame);
    } catch (error) {
      if (error instanceof Problem || error instanceof Failure) return this.#labelled(run);
      throw error;
    }
  }

  #labelled(run: TrainingRun): readonly PicturedFrame[] {
    const isOfSlice = sliceOf(run);
    const chosen: PicturedFrame[] = [];
    for (const [frameId, frame] of this.archived.present(this.clock.now())) {
      const known = isOfSlice(frame) ? this.labels.get(frameId) : undefined;
      if (known === undefined || known.label === null) continue;
      const { label, source: labelSource } = known;
      chosen.push({ frameId, label, labelSource, split: null, isDrawn: frame.sampleDrawn });
    }
    return chosen;
  }

  #gateOf({ model, candidateVersion }: TrainingRun): CandidateGate | null {
    return candidateVersion === "" ? null : (this.models.get(model, candidateVersion)?.gate ?? null);
  }
}

const picturedFrame = ({ frameId, label, labelSource, split, samplePropensity }: DatasetFrame): PicturedFrame => ({
  frameId,
  label,
  labelSource,
  split,
  isDrawn: samplePropensity !== null,
});

/** The page is shown even if a part of it is no longer known. */
function orNothing<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof Problem) return undefined;
    throw error;
  }
}
