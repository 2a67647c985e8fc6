/** One job by HTTP, as it is configured: a request that starts it, one that asks for its state, one that cancels it, one for its log. */
import { z } from "zod";
import { secretSchema } from "./secret.ts";
import { bodyTemplate, jobTemplate, orderTemplate } from "./template.ts";

const path = z.string().regex(/^[^.]+(\.[^.]+)*$/, "expected keys with dots, like properties.status or runs.0.run_id");
const words = z.array(z.string().min(1).max(100)).max(50);
const method = z.enum(["GET", "POST", "PUT", "PATCH", "DELETE"]);

/** The server is fixed: no variable chooses whom the credentials are sent to. */
const urlOf = (template: z.ZodType<string, string>) =>
  template.refine((url) => /^https?:\/\/[^/?#{}]+(\/|$)/.test(url) && URL.canParse(url), {
    error: "expected http:// or https:// with a host; variables may follow the host only",
  });
const requestOf = <T extends z.ZodType<string, string>>(template: T, methodDefault: z.infer<typeof method>) => ({
  method: method.default(methodDefault),
  url: urlOf(template),
  headers: z
    .record(z.string().regex(/^[A-Za-z0-9-]+$/, "expected a header's name"), template)
    .refine((headers) => Object.keys(headers).length <= 50, { error: "at most 50 headers" })
    .default({}),
});

export const authSchema = z
  .discriminatedUnion("kind", [
    z.strictObject({ kind: z.literal("none") }),
    z.strictObject({ kind: z.literal("bearer"), token: secretSchema }),
    /** A token is had for name and password, as from Airflow's /auth/token; a new one once it is refused. */
    z.strictObject({
      kind: z.literal("login"),
      url: urlOf(z.string()),
      username: z.string().min(1),
      password: secretSchema,
      tokenPath: path.default("access_token"),
    }),
  ])
  .default({ kind: "none" });

export const httpJobSchema = z
  .strictObject({
    start: z.strictObject({
      ...requestOf(orderTemplate, "POST"),
      body: bodyTemplate.optional(),
      /** Statuses that say: the job with this id exists. */
      exists: z.array(z.number().int().min(400).max(499)).max(10).default([]),
      /** The server itself answers a repeated start with the first job, e.g. by an idempotency key in `headers`. */
      isIdempotent: z.boolean().default(false),
    }),
    /** Asked before a start: the job of this run and attempt. 404, or nothing at `path`: there is none. */
    find: z.strictObject({ ...requestOf(orderTemplate, "GET"), path }).optional(),
    /** Where the answer to `start` has the job's id … */
    jobIdPath: path.optional(),
    /** … or the id that we choose. */
    jobId: orderTemplate.optional(),
    status: z.strictObject({
      ...requestOf(jobTemplate, "GET"),
      states: z.strictObject({
        path,
        running: words,
        succeeded: words.min(1),
        failed: words,
        cancelled: words.default([]),
      }),
      /** A number from 0 to 1. */
      progressPath: path.optional(),
      /** Why it failed. */
      reasonPath: path.optional(),
      /** Where the API has no state for it: a failed job with this value was cancelled by us. */
      cancelMark: z.strictObject({ path, value: z.string().min(1) }).optional(),
    }),
    cancel: z.strictObject({ ...requestOf(jobTemplate, "POST"), body: z.json().optional() }).optional(),
    logs: z
      .strictObject({
        ...requestOf(jobTemplate, "GET"),
        /** A list in the answer; without it the answer is text. */
        linesPath: path.optional(),
        /** The text in each entry of the list; without it entries are texts. */
        textPath: path.optional(),
      })
      .optional(),
    auth: authSchema,
    /** Of one request. */
    requestMsMax: z.number().int().positive().max(600_000).default(30_000),
  })
  .check(({ value, issues }) => {
    const { start, find, jobId, jobIdPath } = value;
    const say = (message: string) => issues.push({ code: "custom", message, input: value });
    if ((jobId === undefined) === (jobIdPath === undefined)) say("expected one of jobId and jobIdPath");
    if (start.exists.length > 0 && jobId === undefined) say("start.exists needs jobId: the answer has no id then");
    if (start.exists.length === 0 && !start.isIdempotent && find === undefined) {
      say("expected start.exists, start.isIdempotent or find: a start that is repeated would start a second job");
    }
  });

export type HttpJobConfig = z.output<typeof httpJobSchema>;
export type HttpJobInput = z.input<typeof httpJobSchema>;
