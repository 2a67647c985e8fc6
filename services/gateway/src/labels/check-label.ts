/**
 * Whether a label can be taken: pure. A label is of a frame that has a final answer, unless the sender allows unknown ones
 * (`allowUnknown`). Its class is one of the frame's model; where the model's classes are not known here, any class is
 * accepted.
 */
import type { Label, LabelRefusal } from "@tributary/api";
import type { FrameTag } from "./frame-index.ts";

/** The result of a search for the frame; `bounded`: it ended at its limits, the frame may exist. */
export type Sought = { readonly kind: "found"; readonly frame: FrameTag } | { readonly kind: "absent" | "bounded" };

export type LabelVerdict =
  | { readonly kind: "take"; readonly checked: boolean }
  | { readonly kind: "refuse"; readonly code: LabelRefusal; readonly message: string };

export function judgeLabel(
  { frameId, label }: Pick<Label, "frameId" | "label">,
  sought: Sought,
  classes: readonly string[] | undefined,
  allowUnknown: boolean,
): LabelVerdict {
  if (label?.trim() === "") {
    return refuse("label-empty", `The label of ${frameId} is empty; null means that it cannot be labelled.`);
  }
  if (sought.kind !== "found") {
    if (allowUnknown) return { kind: "take", checked: false };
    return sought.kind === "bounded"
      ? refuse(
          "frame-search-bounded",
          `${frameId} was not found within the limits of a search (scan.recordsMax, scan.msMax). Try again: the search continues where it stopped. Or allow unknown frames.`,
        )
      : refuse(
          "frame-unknown",
          `${frameId} has no final answer in what Kafka retains. Check the id, or allow unknown frames.`,
        );
  }
  if (label === null || classes === undefined || classes.includes(label)) return { kind: "take", checked: true };
  const near = nearest(label, classes);
  const hint = near === undefined ? `Its classes: ${shownClasses(classes)}.` : `Did you mean "${near}"?`;
  return refuse("label-unknown", `"${label}" is no class of the model that saw ${frameId}. ${hint}`);
}

const refuse = (code: LabelRefusal, message: string): LabelVerdict => ({ kind: "refuse", code, message });

const CLASSES_SHOWN = 20;
const shownClasses = (classes: readonly string[]): string =>
  classes.slice(0, CLASSES_SHOWN).join(", ") + (classes.length > CLASSES_SHOWN ? `, … (${classes.length})` : "");

/** A class that differs in case or spaces only, or begins alike. */
function nearest(label: string, classes: readonly string[]): string | undefined {
  const bare = (text: string) => text.toLowerCase().replaceAll(/[^\p{L}\p{N}]/gu, "");
  const wanted = bare(label);
  if (wanted === "") return undefined;
  return (
    classes.find((name) => bare(name) === wanted) ??
    classes.find((name) => wanted.length >= 3 && (bare(name).startsWith(wanted) || wanted.startsWith(bare(name))))
  );
}
