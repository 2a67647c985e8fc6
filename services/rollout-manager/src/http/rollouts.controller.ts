import { Body, Controller, Get, HttpCode, Inject, Param, Post } from "@nestjs/common";
import { type Rollout as RolloutRecord, topics } from "@tributary/contracts";
import { Failure } from "@tributary/kernel";
import { type Command, isFinished } from "@tributary/rollouts";
import { Problem, validated } from "@tributary/service-kit";
import { z } from "zod";
import { SpecRefused } from "../creation/spec-problems.ts";
import { Manager } from "../manager.ts";

const by = z.string().trim().min(1).max(128);
const creationSchema = z.strictObject({ spec: z.unknown(), by });
const commandSchema = z.strictObject({
  command: z.enum(["pause", "resume", "promote", "promote-full", "abort", "retry", "undo"] satisfies Command[]),
  by,
  /** Counts only while this step is at work, so a command that is sent again does not pass over the next one. */
  step: z.number().int().min(0).optional(),
});

@Controller("rollouts")
export class RolloutsController {
  constructor(@Inject(Manager) private readonly manager: Manager) {}

  @Get()
  list() {
    this.#refuseEarly();
    const { controller, status } = this.manager;
    return { items: controller.rollouts.flatMap(({ uid }) => jsonOf(status.record(uid)) ?? []) };
  }

  @Get(":uid")
  one(@Param("uid") uid: string) {
    this.#refuseEarly();
    const json = jsonOf(this.manager.status.record(uid));
    if (json === null) throw unknown(uid);
    return json;
  }

  @Post()
  async create(@Body() body: unknown) {
    const { spec, by: who } = validated(creationSchema, body, "body");
    try {
      const { uid } = await this.manager.create(spec, who);
      return { uid };
    } catch (error) {
      if (!(error instanceof SpecRefused)) throw error;
      const errors = error.problems.map(({ path, message }) => ({ where: path.join("."), message }));
      const problem = new Problem(422, error.code, "ask-a-person", error.message, { errors });
      Object.assign(problem.details, { problems: error.problems });
      throw problem;
    }
  }

  @Post(":uid/commands")
  @HttpCode(200)
  async command(@Param("uid") uid: string, @Body() body: unknown) {
    const { command, by: who, step } = validated(commandSchema, body, "body");
    if (this.manager.controller.rollout(uid) === null && this.manager.health === true) throw unknown(uid);
    const rollout = await this.manager.command(uid, command, who, step).catch((error: unknown) => {
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
