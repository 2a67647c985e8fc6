/** A training as a SageMaker training job with an image of yours. The job's name is ours, so a second start finds the first
 * (backend.ts P1).
 *
 * The image gets the order of job-order.ts in the hyperparameter `job`, and uploads `model.onnx` and `result.json` to
 * `places.results` itself: SageMaker packs what it uploads into a `model.tar.gz` at a place of its own choice. */
import {
  type AlgorithmSpecification,
  CreateTrainingJobCommand,
  DescribeTrainingJobCommand,
  type DescribeTrainingJobResponse,
  SageMakerClient,
  StopTrainingJobCommand,
} from "@aws-sdk/client-sagemaker";
import { Failure, reasonOf } from "@tributary/kernel";
import type { TrainingJob } from "@tributary/training";
import { z } from "zod";
import { awsFailure, awsKeys, awsOptions, isAwsError } from "./aws.ts";
import type { JobPlaces, JobState, TrainingBackend } from "./backend.ts";
import { jobNameOf } from "./job-order.ts";

const s3 = z.string().regex(/^s3:\/\/[^/]+(\/.*)?$/, "expected s3://BUCKET/PREFIX");
const count = z.number().int().positive();

export const sagemakerSchema = z.strictObject({
  kind: z.literal("sagemaker"),
  ...awsKeys,
  image: z.string().min(1).max(255),
  role: z.string().regex(/^arn:[^:]+:iam::\d{12}:role\/.+$/, "expected a role's ARN"),
  instanceType: z.string().regex(/^ml\.[a-z0-9.-]+$/, "expected an instance type, like ml.m5.large"),
  instances: count.max(100).default(1),
  volumeGb: count.max(16_384).default(30),
  jobMsMax: count.min(60_000).default(6 * 3_600_000),
  /** Where SageMaker puts its own `model.tar.gz`. */
  output: s3,
  /** Prefixes that SageMaker copies into the container, by channel. The dataset is read from `places.datasets` otherwise. */
  channels: z.record(z.string().regex(/^[A-Za-z0-9._-]{1,64}$/), s3).default({}),
  environment: z.record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/), z.string().max(512)).default({}),
});

export type SagemakerConfig = z.output<typeof sagemakerSchema>;

/** SageMaker's own bound of a hyperparameter. */
const HYPERPARAMETER_LENGTH_MAX = 2_500;
const MODE: AlgorithmSpecification["TrainingInputMode"] = "File";

export class SagemakerBackend implements TrainingBackend {
  readonly name = "sagemaker";
  readonly #config: SagemakerConfig;
  readonly #client: SageMakerClient;

  constructor(config: SagemakerConfig) {
    this.#config = config;
    this.#client = new SageMakerClient(awsOptions(config));
  }

  async start(job: TrainingJob, attempt: number, places: JobPlaces, signal: AbortSignal): Promise<string> {
    const { config, name } = { config: this.#config, name: jobNameOf(job.runId, attempt) };
    const order = JSON.stringify({ ...job, attempt, places });
    if (order.length > HYPERPARAMETER_LENGTH_MAX) {
      const message = `the order of ${name} has ${order.length} characters, SageMaker takes ${HYPERPARAMETER_LENGTH_MAX}: shorten the places' URIs`;
      throw new Failure("training-order-too-long", "ask-a-person", message);
    }
    const channels = Object.entries(config.channels).map(([ChannelName, S3Uri]) => ({
      ChannelName,
      DataSource: { S3DataSource: { S3DataType: "S3Prefix" as const, S3Uri } },
    }));
    const command = new CreateTrainingJobCommand({
      TrainingJobName: name,
      AlgorithmSpecification: { TrainingImage: config.image, TrainingInputMode: MODE },
      RoleArn: config.role,
      HyperParameters: { job: order },
      ...(channels.length > 0 && { InputDataConfig: channels }),
      OutputDataConfig: { S3OutputPath: config.output },
      ResourceConfig: {
        InstanceType: config.instanceType as "ml.m5.large",
        InstanceCount: config.instances,
        VolumeSizeInGB: config.volumeGb,
      },
      StoppingCondition: { MaxRuntimeInSeconds: Math.ceil(config.jobMsMax / 1_000) },
      Environment: config.environment,
    });
    await this.#client.send(command, { abortSignal: signal }).catch((error: unknown) => {
      if (!isAwsError(error, "ResourceInUse")) awsFailure(`CreateTrainingJob of ${name}`, error);
    });
    return name;
  }

  async status(jobId: string, signal: AbortSignal): Promise<JobState> {
    const found = await this.#describe(jobId, signal);
    if (found === undefined) return { kind: "unknown" };
    const { TrainingJobStatus: status, FailureReason: why = "no reason was given", SecondaryStatus } = found;
    switch (status) {
      case "InProgress":
      case "Stopping":
        return { kind: "running", progress: null, line: SecondaryStatus ?? status };
      case "Completed":
        return { kind: "succeeded" };
      case "Stopped":
        return { kind: "cancelled" };
      case "Failed":
        // The image itself failed, or what it was started with: the next attempt would as well.
        return { kind: "failed", reason: why.slice(0, 1_000), isRetryable: !/^(Algorithm|Client)Error/.test(why) };
      default: {
        const message = `SageMaker: ${jobId} is ${status}, which this version does not know`;
        throw new Failure("training-state-unknown", "ask-a-person", message);
      }
    }
  }

  async cancel(jobId: string, signal: AbortSignal): Promise<void> {
    if ((await this.status(jobId, signal)).kind !== "running") return;
    const command = new StopTrainingJobCommand({ TrainingJobName: jobId });
    await this.#client.send(command, { abortSignal: signal }).catch((error: unknown) => {
      // It ended in between.
      if (!isAwsError(error, "ValidationException")) awsFailure(`StopTrainingJob of ${jobId}`, error);
    });
  }

  /** How the job went on; its output is in CloudWatch's /aws/sagemaker/TrainingJobs. */
  async logs(jobId: string, linesMax: number, signal: AbortSignal): Promise<readonly string[]> {
    const found = await this.#describe(jobId, signal);
    return (found?.SecondaryStatusTransitions ?? [])
      .map(({ StartTime, Status, StatusMessage = "" }) =>
        `${StartTime?.toISOString()} ${Status} ${StatusMessage}`.trim(),
      )
      .slice(-linesMax);
  }

  #describe(jobId: string, signal: AbortSignal): Promise<DescribeTrainingJobResponse | undefined> {
    const command = new DescribeTrainingJobCommand({ TrainingJobName: jobId });
    return this.#client.send(command, { abortSignal: signal }).catch((error: unknown) => {
      const isMissing =
        isAwsError(error, "ResourceNotFound") ||
        (isAwsError(error, "ValidationException") && /not found|could not find/i.test(reasonOf(error)));
      return isMissing ? undefined : awsFailure(`DescribeTrainingJob of ${jobId}`, error);
    });
  }
}
