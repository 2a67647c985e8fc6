import { Body, Controller, Get, Inject, Param, Put, Res } from "@nestjs/common";
import { validated } from "@tributary/service-kit";
import { pushSchema } from "../models/models.controller.ts";
import { type ValidationDetail, ValidationSets, type ValidationView } from "./validation-sets.ts";

type Response = { status(code: number): Response; json(body: unknown): void };

@Controller("validation")
export class ValidationController {
  readonly #sets: ValidationSets;

  constructor(@Inject(ValidationSets) sets: ValidationSets) {
    this.#sets = sets;
  }

  @Get()
  list(): { items: readonly ValidationView[] } {
    return { items: this.#sets.list() };
  }

  @Get(":model")
  describe(@Param("model") model: string): Promise<ValidationDetail> {
    return this.#sets.describe(model);
  }

  /** Answers once every frame was examined: 201, or 200 where it is this set already. */
  @Put(":model")
  async push(@Param("model") model: string, @Body() body: unknown, @Res() response: Response): Promise<void> {
    const { manifestDigest, by } = validated(pushSchema, body, "body");
    const { isNew } = await this.#sets.push(model, manifestDigest, by);
    response.status(isNew ? 201 : 200).json(await this.#sets.describe(model));
  }
}
