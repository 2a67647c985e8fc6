/**
 * A model on a SageMaker endpoint, through AWS' own client.
 *
 * A call is one attempt: the client's own retries are off, the call policy decides (calls.ts). Credentials are found by the
 * client's default chain at the first call and refreshed by it; without any, calls fail with `server-forbidden` and the
 * service stays up, since roles may be granted later. An answer is read up to its bound (G9).
 */
import { readFile } from "node:fs/promises";
import { type Readable, Transform } from "node:stream";
import { InvokeEndpointCommand, SageMakerRuntimeClient } from "@aws-sdk/client-sagemaker-runtime";
import { type Clock, Failure, reasonOf } from "@tributary/kernel";
import { z } from "zod";
import type { CallContext, CloudBackend, CloudFrame, CloudOutcome } from "../cloud-backend.ts";
import type { SagemakerConfig } from "./sagemaker-config.ts";
import { type Answering, invocationOf, outcomeOfError, outcomesOf } from "./sagemaker-protocol.ts";

const ANSWER_BYTES_MAX = 8 << 20;
const CONNECT_MS_MAX = 3_000;

export class SagemakerBackend implements CloudBackend {
  readonly #config: SagemakerConfig;
  readonly #how: Answering;
  readonly #client: SageMakerRuntimeClient;
  readonly #clock: Clock;

  private constructor(config: SagemakerConfig, labels: readonly string[], clock: Clock) {
    const { answer, temperature, variant, region, endpointUrl, socketsMax: maxSockets } = config;
    this.#config = config;
    this.#how = { answer, temperature, variant, labels };
    this.#clock = clock;
    const agent = { keepAlive: true, maxSockets };
    this.#client = new SageMakerRuntimeClient({
      region,
      ...(endpointUrl !== undefined && { endpoint: endpointUrl }),
      maxAttempts: 1,
      requestHandler: { connectionTimeout: CONNECT_MS_MAX, httpAgent: agent, httpsAgent: agent },
      userAgentAppId: "tributary",
    });
    this.#client.middlewareStack.add(
      (next) => async (args) => {
        const result = await next(args);
        const response = result.response as { body?: unknown; headers?: Readonly<Record<string, string>> };
        // Most answers have a Content-Length, and Node reads no more than that; the bytes of others are counted.
        const isShort = Number(response.headers?.["content-length"]) <= ANSWER_BYTES_MAX;
        if (!isShort && isReadable(response.body)) response.body = bounded(response.body);
        return result;
      },
      { step: "deserialize", priority: "low", name: "answerBound" },
    );
  }

  static async start(config: SagemakerConfig, clock: Clock): Promise<SagemakerBackend> {
    return new SagemakerBackend(config, await labelsIn(config.labels), clock);
  }

  /** The runtime's API has no readiness request. */
  ready(): boolean {
    return true;
  }

  async classify(batch: readonly CloudFrame[], { signal }: CallContext): Promise<readonly CloudOutcome[]> {
    try {
      const command = new InvokeEndpointCommand(invocationOf(this.#config, batch));
      const output = await this.#client.send(command, { abortSignal: signal });
      return outcomesOf(output, batch.length, this.#how);
    } catch (error) {
      const outcome = outcomeOfError(error, batch.length, this.#clock.now());
      return batch.map(() => outcome);
    }
  }

  async close(): Promise<void> {
    this.#client.destroy();
  }
}

const labelsSchema = z.union([z.array(z.string()).min(2), z.object({ labels: z.array(z.string()).min(2) })]);

async function labelsIn(file: string): Promise<readonly string[]> {
  try {
    const parsed = labelsSchema.parse(JSON.parse(await readFile(file, "utf8")));
    return Array.isArray(parsed) ? parsed : parsed.labels;
  } catch (error) {
    throw new Failure("labels-unreadable", "ask-a-person", `${file}: ${reasonOf(error)}`, { cause: error });
  }
}

const isReadable = (body: unknown): body is Readable =>
  typeof body === "object" && body !== null && "pipe" in body && typeof body.pipe === "function";

function bounded(body: Readable): Readable {
  let bytes = 0;
  const bound = new Transform({
    transform(chunk: Uint8Array, _encoding, done) {
      bytes += chunk.length;
      if (bytes <= ANSWER_BYTES_MAX) return done(null, chunk);
      done(Object.assign(new Error(`more than ${ANSWER_BYTES_MAX} bytes`), { code: "answer-too-large" }));
    },
  });
  body.on("error", (error) => bound.destroy(error));
  bound.on("error", () => body.destroy());
  return body.pipe(bound);
}
