/** What the CLI reads of the gateway's labels API. */
import type { Answer } from "../api.ts";

export type LabelResult = {
  readonly accepted: number;
  readonly repeated: number;
  readonly unchecked: number;
  readonly refused: readonly { index: number; frameId: string; code: string; message: string }[];
};

export type NextLabel = {
  readonly frameId: string;
  readonly why: string;
  readonly classes: readonly string[];
  readonly image: string;
  readonly answer: Answer;
};

export const stdinMark = "-";
