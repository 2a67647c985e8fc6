/** A group as a verdict: its identity, its sentence and its record. */
import type { DriftCause, DriftLossState, DriftVerdict } from "@tributary/contracts";
import type { Instant } from "@tributary/kernel";
import { evidenceOf, rounded } from "./evidence.ts";
import { type Group, sinceOf } from "./group.ts";
import type { LossVerdict } from "./loss.ts";
import { modelName } from "./preprocessing-groups.ts";
import type { VerdictSettings } from "./settings.ts";
import { countOf, faultWords, lossWords, moment, percent, scopeWords } from "./words.ts";

const DEVICES_LISTED_MAX = 1_000;
const ID_DIGITS = 12;

/** The name of a fault distinguishes verdicts of one scope, except those of one camera: it has one at a time. */
export function identityOf({ cause, fault, scope, look }: Group): string {
  const isNamed = (cause === "PREPROCESSING" || cause === "CAMERA") && scope.key !== "camera";
  return [cause, isNamed ? (fault?.name ?? "") : "", scope.key, scope.value, look.modelDigest].join("|");
}

export const idOf = (identity: string, sha256Hex: (text: string) => string): string =>
  sha256Hex(identity).slice(0, ID_DIGITS);

/** A model that learned a fault would be wrong without it; one that loses nothing needs no training, and what has just opened may close. */
export const isReasonToRetrain = (
  cause: DriftCause,
  { loss, openedAt }: { readonly loss: { readonly state: DriftLossState }; readonly openedAt: Instant },
  now: Instant,
  { holdMs }: VerdictSettings,
): boolean =>
  (cause === "WORLD" || cause === "LABEL_SHIFT" || cause === "CONCEPT") &&
  loss.state === "LOST" &&
  now - openedAt >= holdMs;

/** What is found of the group; its history comes from the verdict it may have already. */
export type Findings = Omit<
  DriftVerdict,
  "version" | "state" | "openedAt" | "updatedAt" | "closedAt" | "closedBecause" | "review"
>;

export function findingsOf(
  verdictId: string,
  group: Group & { readonly loss: LossVerdict },
  openedAt: Instant,
  now: Instant,
  settings: VerdictSettings,
): Findings {
  const { cause, fault, scope, look, members, loss, steps } = group;
  const { reference, modelDigest } = look;
  const lossStep = { question: "Are frames lost by it?", answer: lossWords(loss, reference), isCause: false };
  return {
    verdictId,
    cause,
    fault: fault?.name ?? "",
    scopeKey: scope.key,
    scopeValue: scope.value,
    summary: summaryOf(group, openedAt),
    modelDigest,
    modelName: reference?.modelName ?? "",
    modelVersion: reference?.modelVersion ?? "",
    devices: members.slice(0, DEVICES_LISTED_MAX).map(({ deviceId, cameras, golden, since }) => {
      return { deviceId, cameras: golden === null ? cameras.map(({ cameraId }) => cameraId) : [], since };
    }),
    devicesAffected: members.length,
    devicesInScope: scope.devices,
    pValue: scope.pValue,
    since: sinceOf(members),
    loss: {
      state: loss.state,
      draws: loss.draws,
      errorRate: loss.errorRate === null ? null : rounded(loss.errorRate),
      reference: rounded(loss.expected ?? reference?.errorRate ?? 0),
      tolerance: settings.tolerance,
    },
    ...evidenceOf(group),
    steps: [...steps, lossStep],
    retrain: isReasonToRetrain(cause, { loss, openedAt }, now, settings),
  };
}

/** The cause, the place, since when, and what is lost. */
function summaryOf(group: Group & { readonly loss: LossVerdict }, openedAt: Instant): string {
  const { members, look, loss } = group;
  return `${whatWords(group)} since ${moment(sinceOf(members), openedAt)}; ${lossWords(loss, look.reference)}`;
}

function whatWords({ cause, fault, scope, members, look, mix }: Group): string {
  const cameras = members.reduce((sum, member) => sum + member.cameras.length, 0);
  const where = scopeWords(scope);
  const named = fault === null ? "" : faultWords(fault.name);
  const devices = scope.key === "device" ? "device" : countOf(members.length, "device");
  switch (cause) {
    case "PREPROCESSING":
      return `Preprocessing is wrong${named === "" ? "" : ` (${named})`} on ${devices} ${where}`;
    case "CAMERA": {
      const which = scope.key === "camera" ? "camera" : countOf(cameras, "camera");
      return named === "" ? `Pictures changed of ${which} ${where}` : `${capital(named)} in ${which} ${where}`;
    }
    case "WORLD":
      return `The world changed${named === "" ? "" : ` (looks like ${named})`} for ${devices} ${where}`;
    case "LABEL_SHIFT":
      return `The mix of classes changed${mixWords(mix, look.reference?.labels ?? [])} for ${devices} ${where}`;
    case "CONCEPT":
      return `${modelName(look)} loses frames although its inputs look the same, on ${devices} ${where}`;
    case "UNKNOWN":
      return `Pictures changed for ${devices} ${where}${named === "" ? "" : ` (looks like ${named})`}, and no cause explains it well`;
    default:
      return cause satisfies never;
  }
}

/** The class whose share changed most. */
function mixWords(mix: Group["mix"], labels: readonly string[]): string {
  if (mix === null) return "";
  const change = (i: number) => Math.abs((mix.now[i] ?? 0) - (mix.before[i] ?? 0));
  const most = [...labels.keys()].reduce((best, i) => (change(i) > change(best) ? i : best), 0);
  return ` (${labels[most]} from ${percent(mix.before[most] ?? 0)} to ${percent(mix.now[most] ?? 0)})`;
}

const capital = (words: string): string => words.charAt(0).toUpperCase() + words.slice(1);
