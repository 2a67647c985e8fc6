import type { ServerResponse } from "node:http";
import { Body, Controller, Inject, Param, Query, Res } from "@nestjs/common";
import {
  type ExperimentEventQuery,
  type ExperimentQuery,
  type ExperimentRequest,
  type ExperimentStop,
  publicApi,
  rolloutManagerApi,
} from "@tributary/api";
import type { Clock } from "@tributary/kernel";
import { experimentEvidenceOf } from "@tributary/rollouts/experiment";
import { experimentReportOf } from "@tributary/rollouts/report";
import { CLOCK, Serves } from "@tributary/service-kit";
import type { Upstream } from "../forwarding/upstream.ts";
import { HTML_PAGE } from "../http/html-page.ts";
import { Valid } from "../http/validated.ts";
import { RolloutTable } from "../rollouts/rollout-table.ts";
import { ROLLOUT_MANAGER } from "../rollouts/rollouts.controller.ts";
import { eventView } from "./experiment.ts";
import { ExperimentTable } from "./experiment-table.ts";

const routes = publicApi.experiments;
const manager = rolloutManagerApi.experiments;

@Controller()
export class ExperimentsController {
  constructor(
    private readonly table: ExperimentTable,
    private readonly histories: RolloutTable,
    @Inject(ROLLOUT_MANAGER) private readonly upstream: Upstream,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  @Serves(routes.list)
  list(@Query(Valid(routes.list.query)) { limit, ...filter }: ExperimentQuery) {
    return { items: this.table.list(filter, limit) };
  }

  @Serves(routes.create)
  create(@Body(Valid(routes.create.body)) body: ExperimentRequest) {
    return this.upstream.call(manager.create, { body });
  }

  @Serves(routes.one)
  one(@Param("uid") uid: string) {
    return this.table.get(uid);
  }

  @Serves(routes.events)
  async events(@Param("uid") uid: string, @Query(Valid(routes.events.query)) { after }: ExperimentEventQuery) {
    const events = await this.histories.experimentHistory(uid);
    return { items: events.filter(({ version }) => version > after).map(eventView) };
  }

  @Serves(routes.report)
  async report(@Param("uid") uid: string, @Res() response: ServerResponse) {
    const events = await this.histories.experimentHistory(uid);
    const { model, phase, evidence } = this.table.get(uid);
    const live = phase === "Running" ? experimentEvidenceOf(evidence) : null;
    const page = experimentReportOf(events, { model, live, now: this.clock.now() });
    response.writeHead(200, HTML_PAGE);
    response.end(page);
  }

  @Serves(routes.stop)
  stop(@Param("uid") uid: string, @Body(Valid(routes.stop.body)) body: ExperimentStop) {
    return this.upstream.call(manager.stop, { uid, body });
  }
}
