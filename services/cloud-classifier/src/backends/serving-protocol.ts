/**
 * What the protocols of model servers have in common, as pure functions over messages; remote-backend.ts does the I/O.
 */
import type { HttpAnswer, HttpRequest } from "@tributary/calls";

/** One picture as the server takes it: a preprocessed tensor or the JPEG itself, by `input`. */
export type ServingInput = Float32Array | Uint8Array;

export type ServingProtocol<Facts> = {
  /** The requests that check a server before it gets frames, in order; `facts` evaluates the answers. */
  readonly questions: readonly Question[];
  /** Repeated while the server is ready. */
  readonly readiness: HttpRequest;
  /** Throws a `Failure` that names what does not match the configuration or the package. */
  facts(answers: readonly HttpAnswer[]): Facts;
  request(inputs: readonly ServingInput[], facts: Facts): HttpRequest;
  /** One row of logits an input, or what is wrong with the whole answer. */
  rows(answer: HttpAnswer, count: number, facts: Facts): Rows | AnswerProblem;
  /** Whether a readiness answer means ready. */
  isReady(answer: HttpAnswer): boolean;
};

export type Question = HttpRequest & {
  /** Servers that do not know it are fine: the answer counts when it is one. */
  readonly isOptional?: true;
};

export type Rows = {
  readonly kind: "rows";
  readonly rows: readonly ArrayLike<number>[];
  /** The version of the model that answered, if the server returns it. */
  readonly servedBy: string | null;
};

/** Codes: see `answerCodes`. */
export type AnswerProblem = { readonly kind: "problem"; readonly code: AnswerCode; readonly message: string };

export const answerCodes = [
  "answer-unreadable",
  "answer-model-wrong",
  "answer-version-wrong",
  "answer-output-missing",
  "answer-shape-wrong",
  "answer-labels-wrong",
  "answer-not-finite",
] as const;
export type AnswerCode = (typeof answerCodes)[number];

export const problem = (code: AnswerCode, message: string): AnswerProblem => ({ kind: "problem", code, message });

/** Whether `shape` is one row of `labels` values for each of `count` pictures; null: it is. */
export function wrongShape(shape: readonly number[], count: number, labels: number): AnswerProblem | null {
  const [rows, ...rest] = shape;
  const width = rest.reduce((all, side) => all * side, 1);
  if (rows !== count || rest.length === 0) {
    return problem("answer-shape-wrong", `[${shape.join(", ")}], expected [${count}, ${labels}]`);
  }
  return width === labels ? null : problem("answer-labels-wrong", `${width} values a picture, ${labels} labels`);
}

/** Sizes a server declares, its batch first; -1 where it takes any. */
export function fits(declared: readonly number[], wanted: readonly number[]): boolean {
  return declared.length === wanted.length && declared.every((side, i) => side === -1 || side === wanted[i]);
}

/** JSON as servers write it: NaN and infinities stand as bare words, which JSON has not; they are read as null. */
export function parseLooseJson(body: Buffer): unknown {
  const text = body.toString("utf8");
  try {
    return JSON.parse(text);
  } catch {
    // An unterminated string is matched as a whole: matched again from each of its quotes, it would take quadratic time.
    const plain = text.replace(/"(?:[^"\\]|\\.)*(?:"|$)|-?(?:NaN|Infinity)\b/g, (found) =>
      found.startsWith('"') ? found : "null",
    );
    return JSON.parse(plain);
  }
}

export const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

export const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);
