/**
 * A route of an HTTP API as a value: what is asked, what is answered, and how it is refused. A server mounts it and validates
 * requests by it; the typed client and the OpenAPI document are made of it.
 */
import type { z } from "zod";

type Method = "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE";

/** What a request brings: JSON of a shape, or the bytes of a file. */
type RequestBody = z.ZodType | "file";

type RouteResponse =
  | { readonly kind: "json"; readonly description: string; readonly schema: z.ZodType }
  /** Server-sent events of one name, as they come. */
  | {
      readonly kind: "events";
      readonly mediaType: "text/event-stream";
      readonly name: string;
      readonly schema: z.ZodType;
    }
  /** Bytes, whole. */
  | { readonly kind: "bytes"; readonly mediaType: string; readonly description: string }
  /** Bytes as they come, of any number. */
  | { readonly kind: "stream"; readonly mediaType: string }
  /** Only whether it is there: 200 or 404. */
  | { readonly kind: "existence" };

export type Route = {
  readonly method: Method;
  /** Names of parameters in braces. */
  readonly path: string;
  readonly summary: string;
  readonly description?: string;
  /** What path parameters are, where their names do not show it. */
  readonly parameters?: Readonly<Record<string, string>>;
  readonly query?: z.ZodObject;
  readonly body?: RequestBody;
  /** Of success; 200 unless given. */
  readonly status?: number;
  readonly response: RouteResponse;
  /** Statuses of refusals, with the codes of their problem details. */
  readonly problems: readonly (readonly [status: number, codes: string])[];
};

/** Routes by the name of their function in the client. */
export type Routes = Readonly<Record<string, Route>>;

export const route = <const R extends Route>(definition: R): R => definition;

export const json = <S extends z.ZodType>(description: string, schema: S) =>
  ({ kind: "json", description, schema }) as const;
export const events = <S extends z.ZodType>(name: string, schema: S) =>
  ({ kind: "events", mediaType: "text/event-stream", name, schema }) as const;
export const bytes = (mediaType: string, description = "") => ({ kind: "bytes", mediaType, description }) as const;
export const stream = (mediaType: string) => ({ kind: "stream", mediaType }) as const;
export const existence = { kind: "existence" } as const;

type ParameterOf<Path extends string> = Path extends `${string}{${infer Name}}${infer Rest}`
  ? Name | ParameterOf<Rest>
  : never;

/** Path parameters, query parameters and the body, by name. */
export type Input<R extends Route> = { readonly [Name in ParameterOf<R["path"]>]: string } & (R extends {
  readonly query: infer Q extends z.ZodType;
}
  ? z.input<Q>
  : unknown) &
  (R extends { readonly body: infer B }
    ? B extends z.ZodType
      ? { readonly body: z.input<B> }
      : { readonly body: AsyncIterable<Uint8Array>; readonly length: number }
    : unknown);

/** The path with its parameters filled in, each escaped. */
export function pathOf(path: string, parameters: Readonly<Record<string, unknown>>): string {
  return path.replaceAll(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(String(parameters[name])));
}
