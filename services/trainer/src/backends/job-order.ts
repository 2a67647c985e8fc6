/** The order that a job gets, whoever runs it: one JSON object. */
import type { TrainingJob } from "@tributary/training";
import type { JobPlaces } from "./backend.ts";

export type JobOrder = TrainingJob & { readonly attempt: number; readonly places: JobPlaces };

const RUN_LENGTH_MAX = 40;

/** The job's name at the backend, equal for equal run and attempt (backend.ts P1). At most 63 letters, digits and dashes with a
 * number of attempts below a million, as SageMaker, the strictest, wants it. */
export function jobNameOf(runId: string, attempt: number): string {
  const run = runId.replace(/[^A-Za-z0-9]+/g, "-").slice(0, RUN_LENGTH_MAX);
  return `tributary-${run}-${attempt}`;
}
