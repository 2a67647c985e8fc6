/** A training as an execution of a state machine of AWS Step Functions, which gets the order of job-order.ts as its input. The
 * execution's name is ours, so a second start finds the first (backend.ts P1); an express state machine keeps no executions. */
import {
  DescribeExecutionCommand,
  GetExecutionHistoryCommand,
  SFNClient,
  StartExecutionCommand,
  StopExecutionCommand,
} from "@aws-sdk/client-sfn";
import { Failure } from "@tributary/kernel";
import type { TrainingJob } from "@tributary/training";
import { z } from "zod";
import { awsFailure, awsKeys, awsOptions, isAwsError } from "./aws.ts";
import type { JobPlaces, JobState, TrainingBackend } from "./backend.ts";
import { jobNameOf } from "./job-order.ts";

export const stepFunctionsSchema = z.strictObject({
  kind: z.literal("step-functions"),
  ...awsKeys,
  stateMachineArn: z
    .string()
    .regex(/^arn:[^:]+:states:[^:]+:\d{12}:stateMachine:[^:]{1,80}(:[^:]+)?$/, "expected a state machine's ARN"),
});

export type StepFunctionsConfig = z.output<typeof stepFunctionsSchema>;

const HISTORY_MAX = 1_000;

export class StepFunctionsBackend implements TrainingBackend {
  readonly name = "step-functions";
  readonly #config: StepFunctionsConfig;
  readonly #client: SFNClient;

  constructor(config: StepFunctionsConfig) {
    this.#config = config;
    this.#client = new SFNClient(awsOptions(config));
  }

  async start(job: TrainingJob, attempt: number, places: JobPlaces, signal: AbortSignal): Promise<string> {
    const { stateMachineArn } = this.#config;
    const name = jobNameOf(job.runId, attempt);
    const input = JSON.stringify({ ...job, attempt, places });
    try {
      const command = new StartExecutionCommand({ stateMachineArn, name, input });
      const { executionArn } = await this.#client.send(command, { abortSignal: signal });
      return executionArn ?? executionOf(stateMachineArn, name);
    } catch (error) {
      // It has ended, or its input differs in what no start depends on.
      if (isAwsError(error, "ExecutionAlreadyExists")) return executionOf(stateMachineArn, name);
      return awsFailure(`StartExecution of ${stateMachineArn}`, error);
    }
  }

  async status(jobId: string, signal: AbortSignal): Promise<JobState> {
    const command = new DescribeExecutionCommand({ executionArn: jobId });
    const found = await this.#client.send(command, { abortSignal: signal }).catch((error: unknown) => {
      if (isAwsError(error, "ExecutionDoesNotExist")) return undefined;
      return awsFailure(`DescribeExecution of ${jobId}`, error);
    });
    if (found === undefined) return { kind: "unknown" };
    const { status = "without a status", error, cause } = found;
    const why = [error, cause].filter((text) => text !== undefined && text !== "").join(": ");
    const reason = `the execution is ${status}${why === "" ? "" : `: ${why}`}`.slice(0, 1_000);
    switch (status) {
      case "RUNNING":
      case "PENDING_REDRIVE":
        return { kind: "running", progress: null, line: status };
      case "SUCCEEDED":
        return { kind: "succeeded" };
      case "FAILED":
      case "TIMED_OUT":
        return { kind: "failed", reason, isRetryable: true };
      case "ABORTED":
        return { kind: "cancelled" };
      default: {
        const message = `Step Functions: ${jobId} is ${status}, which this version does not know`;
        throw new Failure("training-state-unknown", "ask-a-person", message);
      }
    }
  }

  async cancel(jobId: string, signal: AbortSignal): Promise<void> {
    const command = new StopExecutionCommand({ executionArn: jobId, cause: "cancelled by Tributary" });
    await this.#client.send(command, { abortSignal: signal }).catch((error: unknown) => {
      if (!isAwsError(error, "ExecutionDoesNotExist")) awsFailure(`StopExecution of ${jobId}`, error);
    });
  }

  async logs(jobId: string, linesMax: number, signal: AbortSignal): Promise<readonly string[]> {
    const maxResults = Math.min(linesMax, HISTORY_MAX);
    const command = new GetExecutionHistoryCommand({ executionArn: jobId, maxResults, reverseOrder: true });
    const history = await this.#client.send(command, { abortSignal: signal }).catch((error: unknown) => {
      if (isAwsError(error, "ExecutionDoesNotExist")) return { events: [] };
      return awsFailure(`GetExecutionHistory of ${jobId}`, error);
    });
    const lines = (history.events ?? []).map((event) => {
      const state = event.stateEnteredEventDetails?.name ?? event.stateExitedEventDetails?.name;
      const failed = event.executionFailedEventDetails ?? event.taskFailedEventDetails;
      const more = [state, failed?.error, failed?.cause].filter((text) => text !== undefined).join(": ");
      return `${event.timestamp?.toISOString() ?? ""} ${event.type ?? ""} ${more}`.trim().slice(0, 1_000);
    });
    return lines.reverse();
  }
}

/** …:stateMachine:NAME[:VERSION] -> …:execution:NAME:EXECUTION */
function executionOf(stateMachineArn: string, name: string): string {
  const [head = "", tail = ""] = stateMachineArn.split(":stateMachine:");
  return `${head}:execution:${tail.split(":")[0]}:${name}`;
}
