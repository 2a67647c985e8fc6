/** The templated HTTP job against a server that behaves as each test says. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, test } from "@jest/globals";
import { backendSchema } from "./index.ts";
import { opened, someJob, somePlaces } from "./jobs.test-kit.ts";

type Seen = { readonly method: string; readonly url: string; readonly authorization: string; readonly body: unknown };
type Reply = { readonly status?: number; readonly body: unknown };

const whole = new AbortController().signal;
const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close().closeAllConnections();
});

async function serve(reply: (request: Seen, index: number) => Reply): Promise<{ url: string; seen: Seen[] }> {
  const seen: Seen[] = [];
  const server = createServer((request, response) => {
    let text = "";
    request.on("data", (chunk) => (text += chunk));
    request.on("end", () => {
      const { method = "", url = "", headers } = request;
      const body: unknown = text === "" ? null : JSON.parse(text);
      const index = seen.push({ method, url, authorization: headers.authorization ?? "", body }) - 1;
      const { status = 200, body: answer } = reply(seen[index] as Seen, index);
      response.writeHead(status).end(typeof answer === "string" ? answer : JSON.stringify(answer));
    });
  });
  servers.push(server);
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, seen };
}

function job(url: string, change: Readonly<Record<string, unknown>> = {}) {
  return {
    kind: "http",
    job: {
      start: { url: `${url}/jobs/{{slice}}`, body: { id: "{{name}}", of: ["{{model}} {{attempt}}"], job: "{{job}}" } },
      find: { url: `${url}/find/{{name}}`, path: "id" },
      jobIdPath: "id",
      status: {
        url: `${url}/jobs/{{jobId}}`,
        states: { path: "at.state", running: ["up"], succeeded: ["ok"], failed: ["bad"], cancelled: ["ended"] },
        progressPath: "share",
        reasonPath: "why",
      },
      cancel: { url: `${url}/jobs/{{jobId}}/cancel` },
      logs: { url: `${url}/jobs/{{jobId}}/log` },
      ...change,
    },
  };
}
const rejection = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (error: { code?: string; advice?: string; message: string }) => error,
  );

describe("a start", () => {
  test("fills the request; a second start finds the first job (backend.ts P1)", async () => {
    const jobs = new Map<string, string>();
    const { url, seen } = await serve(({ method, url, body }) => {
      if (method === "GET") {
        const id = jobs.get(url);
        return id === undefined ? { status: 404, body: {} } : { body: { id } };
      }
      jobs.set(`/find/${(body as { id: string }).id}`, "job 7");
      return { body: { id: "job 7" } };
    });
    const backend = opened(job(url));
    const start = (attempt: number) => backend.start(someJob(), attempt, somePlaces(), whole);
    expect([await start(1), await start(1)]).toEqual(["job 7", "job 7"]);
    const posts = seen.filter(({ method }) => method === "POST");
    expect(posts).toHaveLength(1);
    expect(posts[0]).toMatchObject({
      url: "/jobs/site%3Dnorth",
      body: {
        id: "tributary-5f0c1d2e-1",
        of: ["edge 1"],
        job: { ...someJob(), attempt: 1, places: somePlaces() },
      },
    });
    await start(2);
    expect(seen.at(-1)?.body).toMatchObject({ id: "tributary-5f0c1d2e-2" });
  });

  test("whose id is ours takes the server's conflict as success", async () => {
    const { url } = await serve(() => ({ status: 409, body: { detail: "exists" } }));
    const start = { url: `${url}/jobs`, exists: [409] };
    const backend = opened(job(url, { start, find: undefined, jobIdPath: undefined, jobId: "{{name}}" }));
    expect(await backend.start(someJob(), 3, somePlaces(), whole)).toBe("tributary-5f0c1d2e-3");
  });

  test("is not sent again where that could start a second job (json-http.ts J1)", async () => {
    const { url, seen } = await serve(({ method }) => ({ status: method === "GET" ? 404 : 503, body: "later" }));
    const error = await rejection(opened(job(url)).start(someJob(), 1, somePlaces(), whole));
    expect(error).toMatchObject({ code: "server-unavailable", advice: "retry" });
    expect(seen.map(({ method }) => method)).toEqual(["GET", "POST"]);
  });

  test("that the server refuses is a person's, with the server's words", async () => {
    const { url } = await serve(({ method }) => ({ status: method === "GET" ? 404 : 422, body: { detail: "no DAG" } }));
    const error = await rejection(opened(job(url)).start(someJob(), 1, somePlaces(), whole));
    expect(error).toMatchObject({ code: "server-refused", advice: "ask-a-person" });
    expect(error?.message).toContain("no DAG");
  });
});

describe("values from elsewhere", () => {
  test("no id of a server is a path (template.ts T2)", async () => {
    const answered = (id: unknown) => serve(({ method }) => ({ status: method === "GET" ? 404 : 200, body: { id } }));
    for (const id of [
      ".",
      "..",
      "../admin",
      "a/b",
      "a\\b",
      "%2e%2e",
      "a?b",
      "a#b",
      "a\nb",
      "",
      {},
      "x".repeat(1_025),
    ]) {
      const { url } = await answered(id);
      const error = await rejection(opened(job(url)).start(someJob(), 1, somePlaces(), whole));
      expect([id, error]).toEqual([id, expect.objectContaining({ code: "server-malformed", advice: "ask-a-person" })]);
    }
    for (const id of ["job 7", "a.b", "...", "run:7", 7]) {
      const { url } = await answered(id);
      expect(await opened(job(url)).start(someJob(), 1, somePlaces(), whole)).toBe(String(id));
    }
  });

  test("an id that was stored before such ids were refused is asked for nowhere (template.ts T2)", async () => {
    const { url, seen } = await serve(() => ({ body: { at: { state: "ok" } } }));
    const backend = opened(job(url));
    for (const ask of [backend.status("..", whole), backend.cancel("..", whole), backend.logs(".", 1, whole)]) {
      expect(await rejection(ask)).toMatchObject({
        code: "training-template-value-refused",
        message: expect.stringMatching(/\{\{jobId\}\} is "\.+"/),
      });
    }
    expect(seen).toEqual([]);
  });

  test("a slice's value means nothing to a shell (template.ts T1)", async () => {
    const { url, seen } = await serve(({ method }) => ({ status: method === "GET" ? 404 : 200, body: { id: "7" } }));
    const start = (slice: string) => opened(job(url)).start(someJob({ slice }), 1, somePlaces(), whole);
    for (const value of ["$(id)", "`id`", "a;id", "a|id", "a&id", "a'b", 'a"b', "a>b", "a*", "a\\b", "a\nb", "a!b"]) {
      const error = await rejection(start(`site=${value}`));
      expect(error).toMatchObject({ code: "training-template-value-refused", advice: "ask-a-person" });
      expect(error?.message).toContain(`{{slice}} is ${JSON.stringify(`site=${value}`)}`);
    }
    expect(await rejection(start("--help"))).toMatchObject({ code: "training-template-value-refused" });
    expect(seen).toEqual([]);
    for (const slice of ["fleet", "site=Zürich Süd", "camera=pi-7/front", "label:road=A,B", "agentVersion=1.2.3+x"]) {
      expect(await start(slice)).toBe("7");
    }
  });
});

describe("a status", () => {
  const statusOf = async (reply: Reply) => {
    const { url } = await serve(() => reply);
    return opened(job(url)).status("7", whole);
  };
  test("is what the configured states say", async () => {
    const running = { kind: "running", progress: 0.4, line: "up" };
    expect(await statusOf({ body: { at: { state: "up" }, share: 0.4 } })).toEqual(running);
    expect(await statusOf({ body: { at: { state: "up" }, share: 40 } })).toEqual({ ...running, progress: null });
    expect(await statusOf({ body: { at: { state: "ok" } } })).toEqual({ kind: "succeeded" });
    expect(await statusOf({ body: { at: { state: "ended" } } })).toEqual({ kind: "cancelled" });
    expect(await statusOf({ status: 404, body: {} })).toEqual({ kind: "unknown" });
    const failed = await statusOf({ body: { at: { state: "bad" }, why: "no memory" } });
    expect(failed).toEqual({ kind: "failed", reason: "its state is bad: no memory", isRetryable: true });
  });

  test("that is not configured is an error that names it (http-job.ts H2)", async () => {
    const error = await rejection(statusOf({ body: { at: { state: "paused" } } }));
    expect(error).toMatchObject({ code: "training-state-unknown", advice: "ask-a-person" });
    expect(error?.message).toContain('"paused"');
    for (const body of ["<html>", [], { at: "up" }, null]) {
      expect(await rejection(statusOf({ body }))).toMatchObject({ code: "server-malformed" });
    }
  });

  test("is asked for again after a failure of the server's", async () => {
    const { url, seen } = await serve((_, i) =>
      i === 0 ? { status: 502, body: "" } : { body: { at: { state: "ok" } } },
    );
    expect(await opened(job(url)).status("7", whole)).toEqual({ kind: "succeeded" });
    expect(seen).toHaveLength(2);
  });

  test("of a server that sends without an end is refused", async () => {
    const error = await rejection(statusOf({ body: "x".repeat(9 << 20) }));
    expect(error).toMatchObject({ code: "answer-too-large" });
  });
});

test("only a running job is cancelled (http-job.ts H3); a log is bounded by lines", async () => {
  let state = "up";
  const { url, seen } = await serve(({ url }) => ({
    body: url.endsWith("/log") ? "one\ntwo\n\nthree\n" : { at: { state } },
  }));
  const backend = opened(job(url));
  await backend.cancel("7", whole);
  expect(seen.at(-1)).toMatchObject({ method: "POST", url: "/jobs/7/cancel" });
  state = "ok";
  await backend.cancel("7", whole);
  expect(seen.filter(({ method }) => method === "POST")).toHaveLength(1);
  expect(await backend.logs("7", 2, whole)).toEqual(["two", "three"]);
});

test("a token that has expired is renewed; a password is in no message", async () => {
  let logins = 0;
  const { url } = await serve(({ url, authorization, body }) => {
    if (url === "/token") return { body: { access_token: `${(body as { password: string }).password}-${++logins}` } };
    return authorization === "Bearer s3cret-2" ? { status: 403, body: "no" } : { status: 401, body: "expired" };
  });
  const auth = { kind: "login", url: `${url}/token`, username: "ada", password: { value: "s3cret" } };
  const error = await rejection(opened(job(url, { auth })).status("7", whole));
  expect(error).toMatchObject({ code: "server-forbidden", advice: "ask-a-person" });
  expect(error?.message).not.toContain("s3cret");
});

describe("a configuration", () => {
  const problems = (change: Readonly<Record<string, unknown>>) =>
    backendSchema
      .safeParse(job("http://scheduler", change))
      .error?.issues.map(({ message }) => message)
      .join("; ") ?? "";
  test("is refused where a repeated start would start a second job, and with variables that do not exist", () => {
    expect(problems({})).toBe("");
    expect(problems({ find: undefined })).toContain("start a second job");
    expect(problems({ jobId: "{{name}}" })).toContain("one of jobId and jobIdPath");
    expect(problems({ start: { url: "http://scheduler/{{run}}" } })).toContain("there is no {{run}}");
    expect(problems({ start: { url: "http://{{model}}/x" } })).toContain("variables may follow the host only");
    expect(problems({ cancel: { url: "http://scheduler/{{name}}" } })).toContain("there is no {{name}}");
    expect(problems({ start: { url: "http://scheduler/", body: { a: ["{{runid}}"] } } })).toContain("{{runid}}");
  });
});
