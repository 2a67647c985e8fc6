/**
 * A training that runs at another scheduler, by its REST API: what differs between APIs is configuration.
 *
 * H1. A start is repeated only where the configuration says why that starts no second job: by the id that we choose, by the
 *     server's own promise, or because jobs are looked for first. Between looking and starting another instance may start one
 *     as well; the owner of a run is fenced, so that takes a former owner that starts at that moment.
 * H2. A state that is not configured is an error that names it; it is never taken for an end or for progress.
 * H3. Only a running job is cancelled: several APIs would mark one that has succeeded as failed. */
import { type Clock, Failure, type Random } from "@tributary/kernel";
import type { TrainingJob } from "@tributary/training";
import { type JsonAnswer, type JsonExchange, JsonHttp, okJson, valueAt } from "../http/json-http.ts";
import type { JobPlaces, JobState, TrainingBackend } from "./backend.ts";
import type { HttpJobConfig } from "./http-config.ts";
import { secretOf } from "./secret.ts";
import { filled, filledJson, filledUrl, type Variables, variablesOf } from "./template.ts";

type Request = {
  readonly method: JsonExchange["method"];
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: unknown;
};

/** It becomes a segment of URLs, and is shown: never `.` or `..`, and nothing that a server may read as the path's end or another one. */
const JOB_ID = /^(?!\.{1,2}$)[^\p{Cc}/\\%?#]{1,1024}$/u;
const LINE_LENGTH_MAX = 1_000;

export class HttpBackend implements TrainingBackend {
  readonly name: string;
  readonly #config: HttpJobConfig;
  readonly #http: JsonHttp;
  #token: string | undefined;

  constructor(name: string, config: HttpJobConfig, options: { readonly clock: Clock; readonly random: Random }) {
    this.name = name;
    this.#config = config;
    this.#http = new JsonHttp({ ...options, callMsMax: config.requestMsMax });
  }

  async start(job: TrainingJob, attempt: number, places: JobPlaces, signal: AbortSignal): Promise<string> {
    const { start, find, jobId, jobIdPath } = this.#config;
    const variables = variablesOf({ ...job, attempt, places });
    if (find !== undefined) {
      const answer = await this.#ask(find, variables, true, signal);
      const found = answer.status === 404 ? undefined : valueAt(okJson(answer), find.path);
      if (found !== undefined) return this.#checkedId(found, find.path);
    }
    const repeats = start.exists.length > 0 || start.isIdempotent; // H1
    const answer = await this.#ask(start, variables, repeats, signal);
    const json = start.exists.includes(answer.status) ? {} : okJson(answer);
    if (jobIdPath !== undefined) return this.#checkedId(valueAt(json, jobIdPath), jobIdPath);
    return this.#checkedId(filled(jobId ?? "", variables), "jobId");
  }

  async status(jobId: string, signal: AbortSignal): Promise<JobState> {
    const answer = await this.#ask(this.#config.status, new Map([["jobId", jobId]]), true, signal);
    if (answer.status === 404) return { kind: "unknown" };
    return stateOf(okJson(answer), this.#config.status, answer.of);
  }

  async cancel(jobId: string, signal: AbortSignal): Promise<void> {
    const { cancel } = this.#config;
    if (cancel === undefined) {
      const message = `${this.name} has no cancel request in its configuration: end ${jobId} there`;
      throw new Failure("training-cancel-unsupported", "ask-a-person", message);
    }
    if ((await this.status(jobId, signal)).kind !== "running") return; // H3
    const answer = await this.#ask(cancel, new Map([["jobId", jobId]]), true, signal);
    // It ended in between.
    if (answer.status !== 404 && answer.status !== 409) okStatus(answer);
  }

  async logs(jobId: string, linesMax: number, signal: AbortSignal): Promise<readonly string[]> {
    const { logs } = this.#config;
    if (logs === undefined) return [];
    const answer = await this.#ask(logs, new Map([["jobId", jobId]]), true, signal);
    if (answer.status === 404) return [];
    if (logs.linesPath === undefined) {
      okStatus(answer);
      return newest(answer.text.split("\n"), linesMax);
    }
    const entries = valueAt(okJson(answer), logs.linesPath);
    const { textPath } = logs;
    const texts = (Array.isArray(entries) ? entries : []).map((entry: unknown) =>
      textPath === undefined ? entry : valueAt(entry, textPath),
    );
    return newest(
      texts.filter((text) => typeof text === "string"),
      linesMax,
    );
  }

  async #ask(request: Request, variables: Variables, repeats: boolean, signal: AbortSignal): Promise<JsonAnswer> {
    const send = async () => {
      const token = await this.#authorization(signal);
      const headers = Object.entries(request.headers).map(([name, text]) => [name, headerOf(filled(text, variables))]);
      const exchange = {
        method: request.method,
        url: filledUrl(request.url, variables),
        headers: { ...token, ...Object.fromEntries(headers) },
        repeats,
        ...(request.body !== undefined && { body: filledJson(request.body, variables) }),
      };
      return this.#http.send(exchange, signal);
    };
    const answer = await send();
    if (answer.status !== 401 || this.#token === undefined) return answer;
    this.#token = undefined; // It has expired.
    return send();
  }

  async #authorization(signal: AbortSignal): Promise<Readonly<Record<string, string>>> {
    const { auth } = this.#config;
    switch (auth.kind) {
      case "none":
        return {};
      case "bearer":
        return { authorization: `Bearer ${await secretOf(auth.token)}` };
      case "login": {
        this.#token ??= await this.#login(auth, signal);
        return { authorization: `Bearer ${this.#token}` };
      }
      default:
        return auth satisfies never;
    }
  }

  async #login(auth: Extract<HttpJobConfig["auth"], { kind: "login" }>, signal: AbortSignal): Promise<string> {
    const body = { username: auth.username, password: await secretOf(auth.password) };
    const answer = await this.#http.send({ method: "POST", url: auth.url, body, repeats: true }, signal);
    const token = valueAt(okJson(answer), auth.tokenPath);
    if (typeof token === "string" && /^[\x21-\x7e]{1,16384}$/.test(token)) return token;
    throw malformed(answer.of, `there is no token at ${auth.tokenPath}`);
  }

  #checkedId(id: unknown, where: string): string {
    const text = typeof id === "number" ? String(id) : id;
    if (typeof text === "string" && JOB_ID.test(text)) return text;
    const found = text === undefined ? "nothing" : JSON.stringify(text).slice(0, 100);
    throw malformed(this.name, `there is no job's id at ${where} but ${found}`);
  }
}

function stateOf(json: unknown, status: HttpJobConfig["status"], of: string): JobState {
  const { states, progressPath, reasonPath, cancelMark } = status;
  const state = valueAt(json, states.path);
  if (typeof state !== "string") throw malformed(of, `there is no state at ${states.path}`);
  if (states.running.includes(state)) {
    const progress = progressPath === undefined ? null : valueAt(json, progressPath);
    const isShare = typeof progress === "number" && progress >= 0 && progress <= 1;
    return { kind: "running", progress: isShare ? progress : null, line: state };
  }
  if (states.succeeded.includes(state)) return { kind: "succeeded" };
  if (states.cancelled.includes(state)) return { kind: "cancelled" };
  if (states.failed.includes(state)) {
    if (cancelMark !== undefined && valueAt(json, cancelMark.path) === cancelMark.value) return { kind: "cancelled" };
    const why = reasonPath === undefined ? undefined : valueAt(json, reasonPath);
    const text = why === undefined || why === null ? "" : `: ${typeof why === "string" ? why : JSON.stringify(why)}`;
    return { kind: "failed", reason: `its state is ${state}${text}`.slice(0, LINE_LENGTH_MAX), isRetryable: true };
  }
  const message = `${of}: the state "${state.slice(0, 100)}" is not one of those configured: add it to status.states`;
  throw new Failure("training-state-unknown", "ask-a-person", message); // H2
}

function okStatus(answer: JsonAnswer): void {
  okJson({ ...answer, json: {} });
}

const newest = (lines: readonly string[], linesMax: number): readonly string[] =>
  lines
    .map((line) => line.trimEnd().slice(0, LINE_LENGTH_MAX))
    .filter((line) => line !== "")
    .slice(-linesMax);

/** A value that came from elsewhere never makes another header. */
const headerOf = (value: string): string => value.replace(/[^\x20-\x7e]+/g, " ");

const malformed = (of: string, what: string) =>
  new Failure("server-malformed", "ask-a-person", `${of}: ${what}; does another API answer there?`);
