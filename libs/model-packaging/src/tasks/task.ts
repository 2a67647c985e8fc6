/** The tasks that run in a process of their own (run-task.ts), and their messages. */

import type { Digest, FailureAdvice } from "@tributary/kernel";
import type { Margins } from "@tributary/models/gate";
import type { Examination, ExamineSettings } from "../checking/examine.ts";
import type { Gated } from "../gating/gate.ts";
import type { GateOptions } from "../gating/measure.ts";
import type { GatesBefore } from "../gating/seen.ts";
import type { PackOptions } from "../packing/pack.ts";
import type { HashedPictures } from "../validation/hash-pictures.ts";

export type Task =
  | { readonly kind: "examine"; readonly dir: string; readonly digest?: Digest; readonly settings: ExamineSettings }
  | {
      readonly kind: "gate";
      readonly options: GateOptions;
      readonly margins: Margins;
      readonly gatesBefore: GatesBefore;
    }
  | { readonly kind: "pack"; readonly dir: string; readonly options: PackOptions }
  | { readonly kind: "examine-set"; readonly dir: string; readonly classes: readonly string[] }
  | { readonly kind: "hash-pictures"; readonly dir: string };

export type TaskResults = {
  readonly examine: Examination;
  readonly gate: Gated;
  readonly pack: Digest;
  /** Frames. */
  readonly "examine-set": number;
  readonly "hash-pictures": HashedPictures;
};

export type TaskMessage =
  | { readonly kind: "progress"; readonly line: string }
  | { readonly kind: "done"; readonly result: unknown }
  | { readonly kind: "failed"; readonly code: string; readonly advice: FailureAdvice; readonly message: string };
