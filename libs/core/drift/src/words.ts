/** Figures and names as an operator reads them. */
import type { DriftVerdict } from "@tributary/contracts";
import type { Instant } from "@tributary/kernel";
import type { NamedFault } from "./codebook.ts";
import type { DriftReference } from "./drift-reference.ts";
import type { Scope } from "./group.ts";
import { FRAMES_MIN, type LossVerdict } from "./loss.ts";

export const faultWords = (name: string): string => name.replaceAll("-", " ");

export const countOf = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? "" : "s"}`;

export const percent = (share: number): string => `${Math.round(100 * share)} %`;

export const figure = (value: number): string => value.toFixed(2);

/** With its day, unless it is the day of `today`. */
export function moment(at: Instant, today: Instant): string {
  const [day, time] = new Date(at).toISOString().split("T") as [string, string];
  const isToday = new Date(today).toISOString().startsWith(day);
  return `${isToday ? "" : `${day} `}${time.slice(0, 5)} UTC`;
}

/** E.g. "with label lens=acme-2". */
export function scopeWords({ key, value }: Pick<Scope, "key" | "value">): string {
  if (key.startsWith("label:")) return `with label ${key.slice("label:".length)}=${value}`;
  switch (key) {
    case "fleet":
      return "across the fleet";
    case "devices":
      return "that have nothing in common";
    case "site":
      return `at site ${value}`;
    case "agentVersion":
      return `with agent version ${value}`;
    case "camera":
    case "device":
      return `(${value})`;
    default:
      return `with ${key} ${value}`;
  }
}

export function causeWords(cause: DriftVerdict["cause"]): string {
  switch (cause) {
    case "CAMERA":
      return "the cameras";
    case "WORLD":
      return "the world";
    case "PREPROCESSING":
      return "the software before the model";
    case "LABEL_SHIFT":
      return "the mix of classes";
    case "CONCEPT":
      return "what the classes mean";
    case "UNKNOWN":
      return "not known";
    default:
      return cause satisfies never;
  }
}

export function nearestWords(fault: NamedFault | null): string {
  if (fault === null) return "it is near no known fault";
  const nearest = `${faultWords(fault.name)} (distance ${figure(fault.distance)})`;
  if (fault.runnerUp === "") return `the nearest known fault is ${nearest}`;
  return `the nearest known fault is ${nearest}, then ${faultWords(fault.runnerUp)} (${figure(fault.runnerUpDistance)})`;
}

export function lossWords(loss: LossVerdict, reference: DriftReference | undefined): string {
  const { state, errorRate, expected, lostClass, isAsBefore } = loss;
  const frames = countOf(loss.draws, "labelled frame");
  if (errorRate === null) {
    if (state === "LOST") return "frames are lost: no drawn frame that is labelled now says otherwise";
    return "whether frames are lost is not known: no drawn frame is labelled";
  }
  if (expected === null) {
    if (state === "LOST") return `frames are lost: nothing in ${frames} says otherwise`;
    const few = `fewer than ${FRAMES_MIN} validation frames of each of their classes`;
    const why = reference?.validation == null ? "no confusion matrix" : few;
    return `no loss is proven yet: the package has ${why}, ${frames} are labelled`;
  }
  const points = Math.round(100 * (errorRate - expected));
  const seen = points > 0 ? `${countOf(points, "point")} lower` : `${countOf(-points, "point")} higher`;
  const than = points === 0 ? "as validated for these classes" : `${seen} than validated for these classes`;
  if (state === "LOST") {
    if (lostClass !== null)
      return `frames of class ${reference?.labels[lostClass]} are lost; accuracy is ${than} on ${frames}`;
    return points > 0
      ? `accuracy fell by ${countOf(points, "point")} on ${frames}`
      : `frames are lost; accuracy is ${than} on ${frames}`;
  }
  if (isAsBefore) return `no loss since then is proven: accuracy is ${than} on ${frames}, and was low before as well`;
  return `no loss is proven: accuracy is ${than} on ${frames}`;
}
