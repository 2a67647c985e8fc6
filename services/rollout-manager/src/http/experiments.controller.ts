import { Body, Controller, Inject, Param } from "@nestjs/common";
import { type ExperimentCreationRequest, type ExperimentStopRequest, rolloutManagerApi } from "@tributary/api";
import { type Experiment as ExperimentRecord, topics } from "@tributary/contracts";
import { Problem, Serves, Validated } from "@tributary/service-kit";
import { Manager } from "../manager.ts";
import { refuseEarly, withConflicts, withProblems } from "./refusals.ts";

const routes = rolloutManagerApi.experiments;

@Controller()
export class ExperimentsController {
  constructor(@Inject(Manager) private readonly manager: Manager) {}

  @Serves(routes.list)
  list() {
    refuseEarly(this.manager);
    const { all } = this.manager.controller.experiments;
    return { items: all.flatMap(({ uid }) => jsonOf(this.manager.experimentStatus.record(uid)) ?? []) };
  }

  @Serves(routes.one)
  one(@Param("uid") uid: string) {
    refuseEarly(this.manager);
    const json = jsonOf(this.manager.experimentStatus.record(uid));
    if (json === null) throw unknown(uid);
    return json;
  }

  @Serves(routes.create)
  async create(@Body(new Validated(routes.create.body)) { spec, by }: ExperimentCreationRequest) {
    const created = withProblems(this.manager.createExperiment(spec, by));
    const { uid } = await withConflicts(created, ["experiment-conflict", "rollout-conflict"]);
    return { uid };
  }

  @Serves(routes.stop)
  async stop(
    @Param("uid") uid: string,
    @Body(new Validated(routes.stop.body)) { by, why = "" }: ExperimentStopRequest,
  ) {
    if (this.manager.health === true && this.manager.controller.experiments.get(uid) === null) throw unknown(uid);
    const { version, phase } = await this.manager.stopExperiment(uid, by, why);
    return { uid, version, phase };
  }
}

/** The record with its JSON parts as JSON. */
function jsonOf(record: ExperimentRecord | null): object | null {
  if (record === null) return null;
  const json = topics.experiments.codec.toJson(record) as object;
  return { ...json, spec: JSON.parse(record.spec), evidence: JSON.parse(record.evidence) };
}

const unknown = (uid: string): Problem =>
  new Problem(404, "experiment-unknown", "give-up", `There is no experiment ${uid}. GET /experiments lists them.`);
