import type { ServerResponse } from "node:http";
import { Body, Controller, Inject, Param, Query, Res } from "@nestjs/common";
import {
  publicApi,
  type TrainingCancelRequest,
  type TrainingEventQuery,
  type TrainingFilter,
  type TrainingLogQuery,
  type TrainingQuery,
  type TrainingRequest,
  type TrainingResumeRequest,
  trainerApi,
} from "@tributary/api";
import { Serves } from "@tributary/service-kit";
import type { Upstream } from "../forwarding/upstream.ts";
import { HTML_PAGE_WITH_PICTURES } from "../http/html-page.ts";
import { EVENT_STREAM, eventsBusy } from "../http/subscribers.ts";
import { Valid } from "../http/validated.ts";
import { detailOf, eventView } from "./training.ts";
import { TrainingReports } from "./training-reports.ts";
import { TRAINER, TRAINING_SUBSCRIBERS, type TrainingSubscribers, TrainingTable } from "./training-table.ts";

const routes = publicApi.trainings;
const trainer = trainerApi.runs;
const WATCHED_MAX = 1_000;

@Controller()
export class TrainingsController {
  constructor(
    private readonly table: TrainingTable,
    private readonly reports: TrainingReports,
    @Inject(TRAINING_SUBSCRIBERS) private readonly subscribers: TrainingSubscribers,
    @Inject(TRAINER) private readonly upstream: Upstream,
  ) {}

  @Serves(routes.list)
  list(@Query(Valid(routes.list.query)) { limit, ...filter }: TrainingQuery) {
    return { items: this.table.list(filter, limit) };
  }

  @Serves(routes.start)
  start(@Body(Valid(routes.start.body)) body: TrainingRequest) {
    return this.upstream.call(trainer.create, { body });
  }

  @Serves(routes.watch)
  watch(@Query(Valid(routes.watch.query)) filter: TrainingFilter, @Res() response: ServerResponse) {
    if (!this.subscribers.hasRoom) throw eventsBusy();
    response.writeHead(200, EVENT_STREAM);
    this.subscribers.add(response, filter, this.table.list(filter, WATCHED_MAX).reverse());
  }

  @Serves(routes.one)
  one(@Param("runId") runId: string) {
    return detailOf(this.table.get(runId));
  }

  @Serves(routes.events)
  events(@Param("runId") runId: string, @Query(Valid(routes.events.query)) { after }: TrainingEventQuery) {
    const events = this.table.history(runId).filter(({ version }) => version > after);
    return { items: events.map(eventView) };
  }

  @Serves(routes.logs)
  logs(@Param("runId") runId: string, @Query(Valid(routes.logs.query)) { lines }: TrainingLogQuery) {
    this.table.get(runId);
    return this.upstream.call(trainer.logs, { runId, lines });
  }

  @Serves(routes.report)
  async report(@Param("runId") runId: string, @Res() response: ServerResponse) {
    const page = await this.reports.pageOf(this.table.get(runId));
    response.writeHead(200, HTML_PAGE_WITH_PICTURES);
    response.end(page);
  }

  @Serves(routes.cancel)
  cancel(@Param("runId") runId: string, @Body(Valid(routes.cancel.body)) body: TrainingCancelRequest) {
    return this.upstream.call(trainer.cancel, { runId, body });
  }

  @Serves(routes.resume)
  resume(@Param("runId") runId: string, @Body(Valid(routes.resume.body)) body: TrainingResumeRequest) {
    return this.upstream.call(trainer.resume, { runId, body });
  }
}
