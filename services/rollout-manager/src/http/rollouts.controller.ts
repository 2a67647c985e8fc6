import { Body, Controller, Inject, Param } from "@nestjs/common";
import { type CommandRequest, type CreationRequest, rolloutManagerApi } from "@tributary/api";
import { type Rollout as RolloutRecord, topics } from "@tributary/contracts";
import { Failure } from "@tributary/kernel";
import { isFinished } from "@tributary/rollouts";
import { Problem, Serves, Validated } from "@tributary/service-kit";
import { SpecRefused } from "../creation/spec-problems.ts";
import { Manager } from "../manager.ts";

const routes = rolloutManagerApi.rollouts;

@Controller()
export class RolloutsController {
  constructor(@Inject(Manager) private readonly manager: Manager) {}

  @Serves(routes.list)
  list() {
    this.#refuseEarly();
    const { controller, status } = this.manager;
    return { items: controller.rollouts.flatMap(({ uid }) => jsonOf(status.record(uid)) ?? []) };
  }

  @Serves(routes.one)
  one(@Param("uid") uid: string) {
    this.#refuseEarly();
    const json = jsonOf(this.manager.status.record(uid));
    if (json === null) throw unknown(uid);
    return json;
  }

  @Serves(routes.create)
  async create(@Body(new Validated(routes.create.body)) { spec, by }: CreationRequest) {
    try {
      const { uid } = await this.manager.create(spec, by);
      return { uid };
    } catch (error) {
      if (!(error instanceof SpecRefused)) throw error;
      const errors = error.problems.map(({ path, message }) => ({ where: path.join("."), message }));
      const extensions = { problems: error.problems };
      throw new Problem(422, error.code, "ask-a-person", error.message, { errors, extensions });
    }
  }

  @Serves(routes.command)
  async command(
    @Param("uid") uid: string,
    @Body(new Validated(routes.command.body)) { command, by, step }: CommandRequest,
  ) {
    if (this.manager.controller.rollout(uid) === null && this.manager.health === true) throw unknown(uid);
    const rollout = await this.manager.command(uid, command, by, step).catch((error: unknown) => {
      if (error instanceof Failure && error.code === "rollout-changed")
        throw new Problem(409, error.code, error.advice, error.message, { cause: error });
      throw error;
    });
    return { uid, version: rollout.version, phase: rollout.phase, isFinished: isFinished(rollout) };
  }

  #refuseEarly(): void {
    const { health } = this.manager;
    if (health === true) return;
    throw new Problem(503, "rollout-manager-starting", "retry", `The rollout-manager is ${health}. Try again.`, {
      headers: { "Retry-After": "1" },
    });
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
