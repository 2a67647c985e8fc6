import { Body, Controller, Inject, Param, Res } from "@nestjs/common";
import { modelRegistryApi, type PushRequest, type ValidationDetail, type ValidationView } from "@tributary/api";
import { Serves, Validated } from "@tributary/service-kit";
import { ValidationSets } from "./validation-sets.ts";

const routes = modelRegistryApi.validation;

type Response = { status(code: number): Response; json(body: unknown): void };

@Controller()
export class ValidationController {
  readonly #sets: ValidationSets;

  constructor(@Inject(ValidationSets) sets: ValidationSets) {
    this.#sets = sets;
  }

  @Serves(routes.list)
  list(): { items: readonly ValidationView[] } {
    return { items: this.#sets.list() };
  }

  @Serves(routes.describe)
  describe(@Param("model") model: string): Promise<ValidationDetail> {
    return this.#sets.describe(model);
  }

  /** Answers once every frame was examined: 201, or 200 where it is this set already. */
  @Serves(routes.push)
  async push(
    @Param("model") model: string,
    @Body(new Validated(routes.push.body)) { manifestDigest, by }: PushRequest,
    @Res() response: Response,
  ): Promise<void> {
    const { isNew } = await this.#sets.push(model, manifestDigest, by);
    response.status(isNew ? 201 : 200).json(await this.#sets.describe(model));
  }
}
