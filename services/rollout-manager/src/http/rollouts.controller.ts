import { Body, Controller, Inject, Param } from "@nestjs/common";
import { type CommandRequest, type CreationRequest, rolloutManagerApi } from "@tributary/api";
import { type Rollout as RolloutRecord, topics } from "@tributary/contracts";
import { isFinished } from "@tributary/rollouts";
import { Problem, Serves, Validated } from "@tributary/service-kit";
import { Manager } from "../manager.ts";
import { refuseEarly, withConflicts, withProblems } from "./refusals.ts";

const routes = rolloutManagerApi.rollouts;

@Controller()
export class RolloutsController {
  constructor(@Inject(Manager) private readonly manager: Manager) {}

  @Serves(routes.list)
  list() {
    refuseEarly(this.manager);
    const { controller } = this.manager;
    return { items: controller.rollouts.flatMap(({ uid }) => jsonOf(this.manager.status.record(uid)) ?? []) };
  }

  @Serves(routes.one)
  one(@Param("uid") uid: string) {
    refuseEarly(this.manager);
    const json = jsonOf(this.manager.status.record(uid));
    if (json === null) throw unknown(uid);
    return json;
  }

  @Serves(routes.create)
  async create(@Body(new Validated(routes.create.body)) { spec, by }: CreationRequest) {
    const { uid } = await withProblems(this.manager.create(spec, by));
    return { uid };
  }

  @Serves(routes.command)
  async command(
    @Param("uid") uid: string,
    @Body(new Validated(routes.command.body)) { command, by, step }: CommandRequest,
  ) {
    if (this.manager.controller.rollout(uid) === null && this.manager.health === true) throw unknown(uid);
    const rollout = await withConflicts(this.manager.command(uid, command, by, step), ["rollout-changed"]);
    return { uid, version: rollout.version, phase: rollout.phase, isFinished: isFinished(rollout) };
  }
}

/** The record with its JSON parts as JSON. */
function jsonOf(record: RolloutRecord | null): object | null {
  if (record === null) return null;
  const json = topics.rollouts.codec.toJson(record) as object;
  return { ...json, spec: JSON.parse(record.spec), evidence: JSON.parse(record.evidence) };
}

const unknown = (uid: string): Problem =>
  new Problem(404, "rollout-unknown", "give-up", `There is no rollout ${uid}. GET /rollouts lists them.`);
