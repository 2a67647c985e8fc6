import { Failure, type FailureAdvice } from "@tributary/kernel";
import type { LocalTrainingCode } from "../local-training.ts";

export const failure = (
  code: LocalTrainingCode,
  advice: FailureAdvice,
  message: string,
  options?: ErrorOptions,
): Failure => new Failure(code, advice, message, options);
