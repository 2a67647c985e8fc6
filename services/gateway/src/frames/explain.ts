/**
 * Joins everything Kafka holds of one frame into an explanation.
 *
 * The final answer has the time at which the frame was settled; the other topics are then searched around that time only.
 * What was not found is named with the offsets that were searched.
 */
import { Injectable } from "@nestjs/common";
import type { Answer, Explanation } from "@tributary/api";
import {
  type CloudRequest,
  type EdgeFrame,
  jsonSafe,
  type RoutingPolicy,
  type Topic,
  topics,
} from "@tributary/contracts";
import { type FrameId, formatFrameId } from "@tributary/kernel";
import { explainInRouter, explainOnDevice } from "@tributary/routing";
import { Problem } from "@tributary/service-kit";
import { answersOf, isoOf } from "../answers/answer.ts";
import { AnswerRing } from "../answers/ring.ts";
import { PolicyTable } from "../policies/policy-table.ts";
import { type Found, FrameSearch, type Searched, type Window } from "./search.ts";

/** Where explanations come from. */
@Injectable()
export class ExplainSources {
  constructor(
    readonly search: FrameSearch,
    readonly ring: AnswerRing,
    readonly policies: PolicyTable,
  ) {}
}

/** Before a settled answer: the longest deadline, and a late sample after it. */
const BEFORE_MS = 10 * 60_000;
const AFTER_MS = 2 * 60_000;

export async function findAnswer(options: ExplainSources, id: FrameId): Promise<Answer> {
  const kept = options.ring.get(formatFrameId(id));
  if (kept !== undefined) return kept;
  const searched = await options.search.within((signal) => searchAnswer(options.search, id, signal));
  if (searched.found !== null) return searched.found.value;
  throw new Problem(404, "answer-unknown", "retry", `${formatFrameId(id)} has no final answer ${placeOf(searched)}.`);
}

/** The picture of a sent frame, as the camera gave it. */
export async function findPicture(options: ExplainSources, id: FrameId): Promise<Buffer> {
  const { search, ring } = options;
  return search.within(async (signal) => {
    const answer = ring.get(formatFrameId(id));
    const window = answer === undefined ? undefined : windowAround(answer);
    const pick = (frame: EdgeFrame): EdgeFrame | undefined => (isOf(frame, id) ? frame : undefined);
    const searched = await search.first(topics.frames, id.deviceId, pick, { signal, window });
    if (searched.found !== null) return searched.found.value.jpeg;
    const why = "Frames are kept for hours only, and those a device kept to itself never came.";
    throw new Problem(404, "picture-unknown", "give-up", `${formatFrameId(id)} is not ${placeOf(searched)}. ${why}`);
  });
}

export async function explain(options: ExplainSources, id: FrameId): Promise<Explanation> {
  const { search, ring, policies } = options;
  const frameId = formatFrameId(id);
  return search.within(async (signal) => {
    const remembered = ring.get(frameId);
    const answered = remembered === undefined ? await searchAnswer(search, id, signal) : undefined;
    const answer = remembered ?? answered?.found?.value ?? null;
    const scope = { signal, window: answer === null ? undefined : windowAround(answer) };
    const pick = <T extends Sighting>(value: T): T | undefined => (isOf(value, id) ? value : undefined);
    const [predicted, framed, high, normal, resulted] = await Promise.all([
      search.first(topics.predictions, id.deviceId, (batch) => predictionIn(batch, id), scope),
      search.first(topics.frames, id.deviceId, pick<EdgeFrame>, scope),
      search.first(topics.requestsHigh, id.deviceId, pick<CloudRequest>, scope),
      search.first(topics.requestsNormal, id.deviceId, pick<CloudRequest>, scope),
      search.first(topics.results, id.deviceId, pick, scope),
    ]);
    const requested = high.found === null ? normal : high;
    const lane = high.found === null ? "normal" : "high";
    const seen = predicted.found?.value ?? framed.found?.value;
    if (answer === null && seen === undefined) {
      throw new Problem(404, "frame-unknown", "retry", `Nothing is known of ${frameId} ${placeOf(predicted)}.`);
    }
    const version = seen?.policyVersion ?? answer?.policyVersion ?? "";
    const policy = policies.version(version) ?? null;
    const missing = [
      ...(answer === null && answered !== undefined ? [missingOf("answer", answered)] : []),
      // Devices without boots send frames alone.
      ...(predicted.found === null && id.bootId !== 0n ? [missingOf("prediction", predicted)] : []),
      ...(wasSent(answer, predicted.found?.value) && framed.found === null ? [missingOf("frame", framed)] : []),
      ...(answer?.settledBy === "CLOUD_ANSWER" && resulted.found === null ? [missingOf("result", resulted)] : []),
      ...(policy === null && version !== ""
        ? [
            {
              part: "policy",
              why: `version ${version} is no longer on ${topics.policies.name} or ${topics.policyVersions.name}`,
            },
          ]
        : []),
    ];
    return {
      frameId,
      prediction: partOf(predicted.found),
      frame: partOf(framed.found, withoutPicture),
      request: partOf(requested.found, (request) => ({ lane, ...withoutPicture(request) })),
      result: partOf(resulted.found),
      answer,
      policy: policy === null ? null : (jsonOf(policy) as Explanation["policy"]),
      steps: stepsOf(policy, predicted.found?.value ?? null, framed.found?.value ?? null, answer),
      routerSteps: routerStepsOf(answer),
      timeline: timelineOf({ predicted, framed, requested, resulted, answer }),
      missing,
    };
  });
}

const searchAnswer = (search: FrameSearch, id: FrameId, signal: AbortSignal): Promise<Searched<Answer>> =>
  search
    .first(
      topics.classifications,
      id.deviceId,
      (record) => {
        if (record.bootId !== id.bootId) return undefined;
        return record.answers.some((a) => a.cameraId === id.cameraId && a.frameSeq === id.frameSeq)
          ? record
          : undefined;
      },
      { signal },
    )
    .then((searched) => {
      const { found } = searched;
      if (found === null) return { ...searched, found: null };
      const value = answersOf(found.value, found.record).find((answer) => answer.frameId === formatFrameId(id));
      return { ...searched, found: value === undefined ? null : { value, record: found.record } };
    });

type Sighting = {
  readonly bootId: bigint;
  readonly cameraId: string;
  readonly frameSeq: bigint;
};

const isOf = (value: Sighting, id: FrameId): boolean =>
  value.bootId === id.bootId && value.cameraId === id.cameraId && value.frameSeq === id.frameSeq;

type Batch = typeof topics.predictions extends Topic<infer T> ? T : never;
type Prediction = Omit<Batch, "predictions"> & Batch["predictions"][number];

function predictionIn(batch: Batch, id: FrameId): Prediction | undefined {
  if (batch.bootId !== id.bootId) return undefined;
  const prediction = batch.predictions.find((p) => p.cameraId === id.cameraId && p.frameSeq === id.frameSeq);
  const { predictions: _all, ...shared } = batch;
  return prediction && { ...shared, ...prediction };
}

const windowAround = (answer: Answer): Window => {
  const at = Date.parse(answer.answeredAt);
  return { from: at - BEFORE_MS, until: at + AFTER_MS };
};

const wasSent = (answer: Answer | null, predicted: Prediction | undefined): boolean =>
  predicted?.escalation === "QUEUED" || (answer !== null && answer.cloudTarget !== null);

function stepsOf(
  policy: RoutingPolicy | null,
  prediction: Prediction | null,
  frame: EdgeFrame | null,
  answer: Answer | null,
): Explanation["steps"] {
  if (policy === null) return [];
  if (prediction !== null) return [...explainOnDevice(policy, prediction)];
  if (frame !== null) return [...explainOnDevice(policy, { ...frame, escalation: "QUEUED", dropReason: "NONE" })];
  if (answer === null) return [];
  return [
    ...explainOnDevice(policy, {
      label: answer.edgeLabel,
      confidence: answer.edgeConfidence,
      margin: answer.edgeMargin,
      entropy: null,
      score: answer.score,
      reason: answer.reason as EdgeFrame["reason"],
      sampleCorrectness: answer.sampleCorrectness,
      samplePropensity: answer.samplePropensity,
      sampleDrawn: answer.sampleDrawn,
      escalation: null,
      dropReason: null,
    }),
  ];
}

const routerStepsOf = (answer: Answer | null): Explanation["routerSteps"] =>
  answer === null || answer.admission === null
    ? []
    : [
        ...explainInRouter({
          ...answer,
          admission: answer.admission,
          reason: answer.reason as EdgeFrame["reason"],
        }),
      ];

type Parts = {
  readonly predicted: Searched<unknown>;
  readonly framed: Searched<unknown>;
  readonly requested: Searched<unknown>;
  readonly resulted: Searched<{ readonly outcome: string }>;
  readonly answer: Answer | null;
};

function timelineOf({ predicted, framed, requested, resulted, answer }: Parts): Explanation["timeline"] {
  const entry = (found: Found<unknown> | null, what: string) =>
    found === null ? [] : [{ at: new Date(found.record.timestamp).toISOString(), what }];
  return [
    ...entry(predicted.found, "prediction received by the bridge"),
    ...entry(framed.found, "frame received by the bridge"),
    ...entry(requested.found, "cloud asked by the router"),
    ...entry(resulted.found, `cloud result: ${resulted.found?.value.outcome}`),
    ...(answer === null ? [] : [{ at: answer.answeredAt, what: `final answer, settled by ${answer.settledBy}` }]),
  ].sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0));
}

type Json = Record<string, unknown>;
const LONGS = new Set(["bootId", "seq", "frameSeq", "generation"]);

const TIMES = new Set(["capturedAt", "deadlineAt", "requestedAt", "createdAt"]);

/** Throughout the API 64-bit identities are strings and times RFC 3339. */
const jsonOf = (value: object): Json =>
  JSON.parse(
    JSON.stringify(value, (key, inner) => {
      if (typeof inner === "bigint" && LONGS.has(key)) return `${inner}`;
      return typeof inner === "number" && TIMES.has(key) ? isoOf(inner) : jsonSafe(key, inner);
    }),
  ) as Json;

function partOf<T extends object>(found: Found<T> | null, shape: (value: T) => object = (value) => value): Json | null {
  if (found === null) return null;
  const { record } = found;
  const at = { receivedAt: new Date(record.timestamp).toISOString(), partition: record.partition };
  return { ...jsonOf(shape(found.value)), ...at, offset: `${record.offset}` };
}

function withoutPicture<T extends { readonly jpeg: Buffer }>(value: T): object {
  const { jpeg, ...rest } = value;
  return { ...rest, jpegBytes: jpeg.length };
}

const missingOf = (part: string, searched: Searched<unknown>) => ({ part, why: `not found ${placeOf(searched)}` });

const placeOf = ({ topic, partition, from, until, whole }: Searched<unknown>): string =>
  `in ${topic}/${partition}, offsets ${from} to ${until}${whole ? ", which is all it retains" : "; others were not searched"}`;
