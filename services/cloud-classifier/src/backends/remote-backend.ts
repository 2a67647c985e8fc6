/**
 * A model on a server of its own, by whichever protocol.
 *
 * A call is one attempt, within `deadline` and until `signal` aborts; every frame gets an outcome with a code. The server's
 * metadata is checked before the first frame, and again after the server was unreachable. A server with another model stops
 * the start; later, calls fail with `server-model-mismatch` until it serves the configured one. An unreachable server does
 * not stop the start, because it may come up later. With `input: tensor` a child process makes each picture into the tensor
 * that the package describes, and a picture that it cannot use is refused alone. Rows with values that are not finite fail
 * their own frames only.
 */

import { type HttpCaller, problemOf } from "@tributary/calls";
import type { ModelPackage } from "@tributary/inference";
import { backoffMs, type Clock, Failure, linkedSignal, type Random, reasonOf, timerMs } from "@tributary/kernel";
import type { Preprocessor } from "@tributary/onnx";
import { calibrated } from "../calibrated.ts";
import {
  type CallContext,
  type CloudBackend,
  type CloudFrame,
  type CloudOutcome,
  traceparentOfBatch,
} from "../cloud-backend.ts";
import type { ServingInput, ServingProtocol } from "./serving-protocol.ts";
import { orAborted, type Supervised } from "./supervised.ts";

export type ServerState = "ready" | "away" | "mismatch";

export type RemoteBackendOptions<Facts> = {
  readonly caller: HttpCaller;
  readonly protocol: ServingProtocol<Facts>;
  readonly pkg: Pick<ModelPackage, "labels" | "calibration">;
  /** null: the server takes JPEGs. */
  readonly preprocessors: Supervised<Preprocessor> | null;
  readonly clock: Clock;
  readonly random: Random;
  readonly onServer: (event: { readonly state: ServerState; readonly reason: string }) => void;
  /** How long an answer to a question may take. */
  readonly checkMsMax?: number;
  /** How often a server that is ready is asked whether it still is. */
  readonly readyMsEvery?: number;
};

type Failed = Extract<CloudOutcome, { kind: "failed" }>;
type Server<Facts> =
  | { readonly kind: "ready"; readonly facts: Facts }
  | { readonly kind: "away" | "mismatch"; readonly failure: Failure };

const CHECK_MS_MAX = 2_000;
const READY_MS_EVERY = 5_000;
const AWAY_BACKOFF = { minMs: 250, maxMs: 10_000 };

export class RemoteBackend<Facts> implements CloudBackend {
  readonly #options: RemoteBackendOptions<Facts>;
  readonly #stop = new AbortController();
  #server: Server<Facts> = { kind: "away", failure: new Failure("server-unreachable", "retry", "not asked yet") };
  #checking: Promise<Server<Facts>> | undefined;
  #reported: ServerState | undefined;
  #watch: Promise<void> = Promise.resolve();

  private constructor(options: RemoteBackendOptions<Facts>) {
    this.#options = options;
  }

  /** Rejects with what does not match when the server serves something else. */
  static async start<Facts>(options: RemoteBackendOptions<Facts>): Promise<RemoteBackend<Facts>> {
    const backend = new RemoteBackend(options);
    const server = await backend.#check();
    if (server.kind === "mismatch") throw server.failure;
    backend.#watch = backend.#watchServer();
    return backend;
  }

  ready(): boolean {
    const { preprocessors } = this.#options;
    return this.#server.kind === "ready" && (preprocessors === null || preprocessors.current !== undefined);
  }

  async classify(batch: readonly CloudFrame[], context: CallContext): Promise<readonly CloudOutcome[]> {
    const over = linkedSignal(context.signal, this.#stop.signal);
    let isLate = false;
    const timer = setTimeout(
      () => {
        isLate = true;
        over.abort();
      },
      timerMs(context.deadline - this.#options.clock.now()),
    );
    try {
      return await this.#classify(batch, context, over.signal);
    } catch (error) {
      const failed = isLate ? TIMEOUT : failedBy(error);
      return batch.map(() => failed);
    } finally {
      clearTimeout(timer);
      over.unlink();
    }
  }

  async close(): Promise<void> {
    this.#stop.abort();
    this.#options.caller.close();
    await this.#watch;
    await this.#options.preprocessors?.close();
  }

  async #classify(
    batch: readonly CloudFrame[],
    context: CallContext,
    signal: AbortSignal,
  ): Promise<readonly CloudOutcome[]> {
    const { clock, caller, protocol } = this.#options;
    const server = this.#server.kind === "away" ? await orAborted(this.#check(), signal) : this.#server;
    if (server.kind !== "ready") throw server.failure;
    const inputs = await this.#inputs(batch, signal);
    const good = inputs.filter((input): input is ServingInput => ArrayBuffer.isView(input));
    if (good.length === 0) return inputs as readonly CloudOutcome[];

    const asked = protocol.request(good, server.facts);
    const traceparent = traceparentOfBatch(batch);
    const headers = { ...asked.headers, ...(traceparent && { traceparent }) };
    const ms = Math.max(1, timerMs(context.deadline - clock.now()));
    const answer = await caller.call({ ...asked, headers }, { ms, signal });
    const wrong = problemOf(answer, clock.now());
    if (wrong !== null) return this.#merged(inputs, () => this.#refusal(wrong, good.length));
    const rows = protocol.rows(answer, good.length, server.facts);
    if (rows.kind === "problem") {
      const { code, message } = rows;
      return this.#merged(inputs, () => ({ kind: "failed", code, message, again: false }));
    }
    return this.#merged(inputs, (i) => this.#outcomeOf(rows.rows[i] as ArrayLike<number>, rows.servedBy));
  }

  /** What the server gets of each frame, or the frame's refusal. */
  async #inputs(batch: readonly CloudFrame[], signal: AbortSignal): Promise<readonly (ServingInput | CloudOutcome)[]> {
    const { preprocessors } = this.#options;
    const jpegs = batch.map((frame) => frame.jpeg);
    if (preprocessors === null) return jpegs;
    const preprocessor = await preprocessors.whenThere(signal);
    if (preprocessor === undefined) throw new Failure("preprocessor-unavailable", "give-up", "it is not loaded");
    const prepared = await orAborted(preprocessor.prepare(jpegs), signal).catch((error: unknown) => {
      if (!signal.aborted) preprocessors.seenDead(preprocessor);
      throw new Failure("model-host-exited", "retry", reasonOf(error));
    });
    return prepared.map((one): ServingInput | CloudOutcome => {
      if (one.ok) return one.tensor;
      const { code, message } = one;
      return code === "model-busy"
        ? { kind: "failed", code, message, again: true }
        : { kind: "refused", code, message };
    });
  }

  /** Outcomes of the frames that were sent, among those that were not. */
  #merged(
    inputs: readonly (ServingInput | CloudOutcome)[],
    outcomeOf: (sent: number) => CloudOutcome,
  ): readonly CloudOutcome[] {
    let sent = 0;
    return inputs.map((input) => (ArrayBuffer.isView(input) ? outcomeOf(sent++) : (input as CloudOutcome)));
  }

  /** A server that decodes itself may refuse a call for one of its pictures: each is then asked alone. */
  #refusal(wrong: ReturnType<typeof problemOf> & object, sent: number): CloudOutcome {
    const isPictures = wrong.code === "server-refused" && !wrong.again && this.#options.preprocessors === null;
    if (isPictures && sent > 1) return { kind: "failed", ...wrong, again: "alone", isOfItems: true };
    if (isPictures) return { kind: "refused", code: "server-refused", message: wrong.message };
    return { kind: "failed", ...wrong };
  }

  #outcomeOf(logits: ArrayLike<number>, servedBy: string | null): CloudOutcome {
    const { labels, calibration } = this.#options.pkg;
    for (let i = 0; i < logits.length; i++) {
      if (Number.isFinite(logits[i])) continue;
      return { kind: "failed", code: "answer-not-finite", message: `value ${i} is ${logits[i]}`, again: false };
    }
    const { labelIndex, confidence, margin } = calibrated(logits, calibration.temperature);
    // The server reports only its model's name and version, so the digest of what it runs is not known here.
    return {
      kind: "answered",
      label: labels[labelIndex] as string,
      confidence,
      margin,
      modelDigest: null,
      servedBy,
    };
  }

  /** Asks the server everything; callers at the same time share one check. */
  #check(): Promise<Server<Facts>> {
    this.#checking ??= this.#ask().then((server) => {
      this.#adopt(server);
      this.#checking = undefined;
      return server;
    });
    return this.#checking;
  }

  async #ask(): Promise<Server<Facts>> {
    const { caller, protocol, checkMsMax: ms = CHECK_MS_MAX, clock } = this.#options;
    try {
      const answers = [];
      for (const { isOptional, ...question } of protocol.questions) {
        const answer = await caller.call(question, { ms, signal: this.#stop.signal });
        answers.push(answer);
        const isReadiness = question.path === protocol.readiness.path;
        const wrong = problemOf(answer, clock.now());
        const isWrong = isReadiness ? !protocol.isReady(answer) : wrong !== null && !isOptional;
        if (!isWrong) continue;
        const reason = `${question.method} ${question.path}: ${wrong?.message ?? "the model is not ready"}`;
        return { kind: "away", failure: new Failure(wrong?.code ?? "server-unavailable", "retry", reason) };
      }
      return { kind: "ready", facts: protocol.facts(answers) };
    } catch (error) {
      const failure = error instanceof Failure ? error : new Failure("server-unreachable", "retry", reasonOf(error));
      return { kind: failure.advice === "ask-a-person" ? "mismatch" : "away", failure };
    }
  }

  #adopt(server: Server<Facts>): void {
    this.#server = server;
    if (this.#stop.signal.aborted || this.#reported === server.kind) return;
    this.#reported = server.kind;
    this.#options.onServer({ state: server.kind, reason: server.kind === "ready" ? "" : server.failure.message });
  }

  async #watchServer(): Promise<void> {
    const { clock, random, caller, protocol, readyMsEvery = READY_MS_EVERY, checkMsMax = CHECK_MS_MAX } = this.#options;
    const { signal } = this.#stop;
    let attempt = 0;
    for (;;) {
      const isReady = this.#server.kind === "ready";
      attempt = isReady ? 0 : attempt + 1;
      await clock.sleep(isReady ? readyMsEvery : backoffMs(AWAY_BACKOFF, attempt, random), signal).catch(() => {});
      if (signal.aborted) return;
      if (this.#server.kind !== "ready") {
        await this.#check();
        continue;
      }
      const answer = await caller.call(protocol.readiness, { ms: checkMsMax, signal }).catch((error: unknown) => error);
      if (signal.aborted) return;
      if (answer instanceof Failure) this.#adopt({ kind: "away", failure: answer });
      else if (!protocol.isReady(answer as never)) await this.#check();
    }
  }
}

const TIMEOUT: Failed = {
  kind: "failed",
  code: "server-timeout",
  message: "no answer before the deadline",
  again: true,
};

function failedBy(error: unknown): Failed {
  const code = error instanceof Failure ? error.code : "backend-error";
  const again = error instanceof Failure && error.advice === "retry";
  return { kind: "failed", code, message: reasonOf(error), again };
}
