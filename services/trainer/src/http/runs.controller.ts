import { Body, Controller, Inject, Param, Query } from "@nestjs/common";
import {
  type TrainingCancelRequest,
  type TrainingLogQuery,
  type TrainingRequest,
  type TrainingResumeRequest,
  trainerApi,
} from "@tributary/api";
import type { TrainingRun } from "@tributary/contracts";
import { Problem, Serves, Validated } from "@tributary/service-kit";
import { trainingView } from "@tributary/training";
import { BACKEND, type TrainingBackend } from "../backends/backend.ts";
import { Runs } from "../runs/runs.ts";
import { RunsTable } from "../runs/runs-table.ts";

const routes = trainerApi.runs;
const LOGS_MS_MAX = 20_000;

@Controller()
export class RunsController {
  constructor(
    private readonly runs: Runs,
    private readonly table: RunsTable,
    @Inject(BACKEND) private readonly backend: TrainingBackend,
  ) {}

  @Serves(routes.list)
  list(@Query(new Validated(routes.list.query)) { model }: { model?: string }) {
    return { items: this.table.list(model).map(trainingView) };
  }

  @Serves(routes.one)
  one(@Param("runId") runId: string) {
    return trainingView(this.#known(runId));
  }

  @Serves(routes.create)
  async create(@Body(new Validated(routes.create.body)) { since, ...request }: TrainingRequest) {
    const sinceMs = since === undefined ? undefined : Date.parse(since);
    return trainingView(await this.runs.owner.request({ ...request, since: sinceMs }));
  }

  @Serves(routes.cancel)
  async cancel(
    @Param("runId") runId: string,
    @Body(new Validated(routes.cancel.body)) { by, reason }: TrainingCancelRequest,
  ) {
    this.#known(runId);
    return trainingView(await this.runs.owner.cancel(runId, by, reason));
  }

  @Serves(routes.resume)
  async resume(@Param("runId") runId: string, @Body(new Validated(routes.resume.body)) { by }: TrainingResumeRequest) {
    this.#known(runId);
    return trainingView(await this.runs.owner.resume(runId, by));
  }

  @Serves(routes.logs)
  async logs(
    @Param("runId") runId: string,
    @Query(new Validated(routes.logs.query)) { lines: linesMax }: TrainingLogQuery,
  ) {
    const { backend, jobId } = this.#known(runId);
    if (jobId === "") return { backend, jobId, lines: [] };
    const lines = await this.backend.logs(jobId, linesMax, AbortSignal.timeout(LOGS_MS_MAX));
    return { backend, jobId, lines };
  }

  #known(runId: string): TrainingRun {
    const run = this.table.get(runId);
    if (run !== undefined) return run;
    throw new Problem(404, "training-unknown", "give-up", `There is no training ${runId}. GET /runs lists them.`);
  }
}
