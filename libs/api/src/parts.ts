/** Parts that shapes of several resources share. */
import { z } from "zod";

export const listOf = <S extends z.ZodType>(item: S) => z.object({ items: z.array(item) });

/** A whole number of a query, which may also come as text. */
export const wholeNumber = (min: number, max = Number.MAX_SAFE_INTEGER) =>
  z.coerce.number<number | string>().int().min(min).max(max);

export const limit = (usual: number, max = 1_000) => wholeNumber(1, max).default(usual);

/** Of a list that takes no query: an unknown parameter is refused by name all the same. */
export const noQuery = z.strictObject({});

export const frameIdParameter = { frameId: "deviceId:bootId:cameraId:frameSeq" } as const;

/** A document whose format the domain owns, or any other object. The OpenAPI document describes it by the schema that its
 * writer gives, see `openApiOf`. */
export const domainDocument = (format: string) => z.looseObject({}).meta({ domainDocument: format });
