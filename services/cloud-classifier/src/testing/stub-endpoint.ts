/** A SageMaker endpoint for tests. `misbehaveOnce` makes it misbehave, for the next invocation only. */
import { createServer, type IncomingHttpHeaders, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export type Invocation = { readonly path: string; readonly headers: IncomingHttpHeaders; readonly body: Buffer };
export type Misbehaviour = (response: ServerResponse, invocation: Invocation) => void;

export type StubEndpoint = {
  readonly url: string;
  readonly invocations: Invocation[];
  /** What good invocations are answered with. */
  answer: unknown;
  misbehaveOnce(how: Misbehaviour): void;
  close(): Promise<void>;
};

export function answerJson(response: ServerResponse, json: unknown, headers: Record<string, string> = {}): void {
  response.writeHead(200, {
    "content-type": "application/json",
    "x-amzn-invoked-production-variant": "AllTraffic",
    ...headers,
  });
  response.end(typeof json === "string" ? json : JSON.stringify(json));
}

/** As the service words its errors. */
export const answerError =
  (status: number, name: string, more: object = {}, headers: Record<string, string> = {}): Misbehaviour =>
  (response) => {
    response.writeHead(status, { "content-type": "application/json", "x-amzn-errortype": name, ...headers });
    response.end(JSON.stringify({ Message: `${name} it is`, ...more }));
  };

export async function startStubEndpoint(answer: unknown): Promise<StubEndpoint> {
  const invocations: Invocation[] = [];
  const waiting: Misbehaviour[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const invocation = { path: request.url ?? "", headers: request.headers, body: Buffer.concat(chunks) };
      invocations.push(invocation);
      const how = waiting.shift() ?? ((response: ServerResponse) => answerJson(response, stub.answer));
      how(response, invocation);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const stub: StubEndpoint = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    invocations,
    answer,
    misbehaveOnce: (how) => void waiting.push(how),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return stub;
}
