/** Requests are parsed once, here; an unknown query parameter or body field is refused by name. */
import type { ArgumentMetadata, PipeTransform } from "@nestjs/common";
import { isNestedDeeper, LEVELS_MAX } from "@tributary/kernel";
import { Problem } from "@tributary/telemetry/http";
import type { z } from "zod";

/** A query or a body of a shape: `@Body(new Validated(schema))`. */
export class Validated<S extends z.ZodType> implements PipeTransform<unknown, z.output<S>> {
  readonly #schema: S;
  readonly #see: string;

  /** `see`: a link to the documentation for the client. */
  constructor(schema: S, see = "") {
    this.#schema = schema;
    this.#see = see === "" ? "" : ` See ${see}.`;
  }

  transform(value: unknown, { type: place }: ArgumentMetadata): z.output<S> {
    // A field that takes any value is written on to Kafka or to another service.
    if (isNestedDeeper(value)) {
      const message = `lists and objects are nested deeper than ${LEVELS_MAX} levels`;
      const detail = `${place}: ${message}; send them with fewer.${this.#see}`;
      throw new Problem(400, "request-invalid", "give-up", detail, { errors: [{ where: place, message }] });
    }
    const result = this.#schema.safeParse(value ?? {});
    if (result.success) return result.data;
    const errors = result.error.issues.flatMap((issue) => {
      const where = [place, ...issue.path.map(String)].join(".");
      if (issue.code !== "unrecognized_keys") return [{ where, message: issue.message }];
      return issue.keys.map((key) => ({ where: `${where}.${key}`, message: "unknown" }));
    });
    const detail = errors.map((error) => `${error.where}: ${error.message}`).join("; ");
    throw new Problem(400, "request-invalid", "give-up", `${detail}.${this.#see}`, { errors });
  }
}
