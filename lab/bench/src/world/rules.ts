/** How plain and fused answer are weighed: as on a device, by the former rule, and by others that were considered. */
import { World } from "@tributary/agent/compose";
import type { WorldPackage } from "@tributary/model-store";
import {
  classesIn,
  evidenceOf,
  fused,
  guardStart,
  learned,
  mixed,
  seen,
  type WeightRule,
  type WorldTable,
  weightAt,
  weightRule,
} from "@tributary/world";
import { ANSWER_FRAMES, best, type Perception, sharesOf } from "./drive.ts";
import type { RoadFrame } from "./roads.ts";
import type { Photo } from "./stream.ts";

export type Rule = {
  /** The label of a frame. */
  readonly answer: (frame: RoadFrame, frameId: string) => number;
  readonly truth: (frameId: string, label: number) => void;
  readonly weight: () => number;
};

/** Perception's shares of each photo, which many frames show. */
const plainOf = new Map<Photo, Float64Array>();
export function plainSharesOf(photo: Photo, temperature: number): Float64Array {
  const known = plainOf.get(photo) ?? sharesOf(photo, temperature);
  plainOf.set(photo, known);
  return known;
}

const contextOf = ({ place, quarter }: RoadFrame) => ({ place: `cell-${place}`, hour: 6 * quarter + 3 });

/** As devices answer. */
export function deviceRule(table: WorldTable, { labels, temperature }: Perception): Rule {
  let now: ReturnType<typeof contextOf> | undefined;
  const pkg = { digest: "ab".repeat(32), dir: "", table, manifest: { name: "world", version: "1" } };
  const world = new World(pkg as unknown as WorldPackage, {
    context: () => ({ context: now as ReturnType<typeof contextOf>, text: `${now?.place}/${now?.hour}` }),
    isWithheld: () => false,
    onTruth: () => undefined,
    onFailing: () => undefined,
    onUnusable: () => undefined,
  });
  return {
    answer: (frame, frameId) => {
      now = contextOf(frame);
      const { logits, remember } = world.inContext(frame.photo.logits, temperature, labels);
      remember(frameId);
      return best(logits);
    },
    truth: (frameId, label) => world.truth(frameId, labels[label] as string),
    weight: () => world.weight,
  };
}

/** What a rule knows of a frame. */
type Answers = { readonly plain: Float64Array; readonly withContext: Float64Array; readonly evidence: number };

/** A rule by its weight alone. `weigh`: that of a frame's answer; `learn`: from a truth. */
function weighed(
  table: WorldTable,
  { temperature }: Perception,
  weigh: (answers: Answers) => number,
  learn: (answers: Answers, label: number) => void,
  weight: () => number,
): Rule {
  const waiting = new Map<string, Answers>();
  const known = new Map<string, Float64Array>();
  return {
    answer: (frame, frameId) => {
      const plain = plainSharesOf(frame.photo, temperature);
      const key = `${frame.place}/${frame.quarter}`;
      const inContext = known.get(key) ?? classesIn(table, contextOf(frame));
      known.set(key, inContext);
      const withContext = fused(plain, table.prior, inContext);
      const answers = { plain, withContext, evidence: evidenceOf(plain, table.prior, inContext) };
      waiting.delete(String(Number(frameId) - 2 * ANSWER_FRAMES));
      waiting.set(frameId, answers);
      return best(mixed(weigh(answers), plain, withContext));
    },
    truth: (frameId, label) => {
      const answers = waiting.get(frameId);
      if (answers !== undefined) learn(answers, label);
    },
    weight,
  };
}

const gainOf = ({ plain, withContext }: Answers, label: number): number =>
  Math.log(withContext[label] as number) - Math.log(plain[label] as number);

/** A Bayesian mixture over all truths since the table came. */
export function formerRule(table: WorldTable, perception: Perception): Rule {
  let nats = 0;
  const weight = () => 1 / (1 + Math.exp(-nats));
  const learn = (answers: Answers, label: number) => {
    nats += gainOf(answers, label);
  };
  return weighed(table, perception, weight, learn, weight);
}

/** A share of the weight moves at each truth; frames are no evidence. */
function sharedAtTruths(share: number): MakeRule {
  return (table, perception) => {
    let weight = 0.5;
    const learn = (answers: Answers, label: number) => {
      const after = weight / (weight + (1 - weight) * Math.exp(-gainOf(answers, label)));
      weight = (1 - share) * after + share * (1 - after);
    };
    return weighed(
      table,
      perception,
      () => weight,
      learn,
      () => weight,
    );
  };
}

/** As devices do it, with other numbers. */
function sharedAtFrames(rule: WeightRule): MakeRule {
  return (table, perception) => {
    let guard = guardStart;
    const weigh = ({ evidence }: Answers) => {
      const weight = weightAt(guard, evidence);
      guard = seen(guard, evidence, rule);
      return weight;
    };
    const learn = ({ plain, withContext }: Answers, label: number) => {
      guard = learned(guard, plain, withContext, label, rule);
    };
    return weighed(table, perception, weigh, learn, () => guard.weight);
  };
}

type MakeRule = (table: WorldTable, perception: Perception) => Rule;

export const alternatives: readonly { readonly name: string; readonly make: MakeRule }[] = [
  { name: "in use: .01 to perception, .00005 back, a tenth kept", make: sharedAtFrames(weightRule) },
  { name: "at truths alone, .05 both ways", make: sharedAtTruths(0.05) },
  { name: ".001 both ways", make: sharedAtFrames({ ...weightRule, toPlain: 0.001, toTable: 0.001 }) },
  { name: ".01 both ways", make: sharedAtFrames({ ...weightRule, toTable: 0.01 }) },
  { name: ".0005 back", make: sharedAtFrames({ ...weightRule, toTable: 0.0005 }) },
  { name: ".005 to perception", make: sharedAtFrames({ ...weightRule, toPlain: 0.005 }) },
  { name: ".02 to perception", make: sharedAtFrames({ ...weightRule, toPlain: 0.02 }) },
  { name: "a third kept", make: sharedAtFrames({ ...weightRule, kept: 1 / 3 }) },
  { name: "all kept", make: sharedAtFrames({ ...weightRule, kept: 1 }) },
];
