/** Places whose cameras see classes as often as they do there: some classes often, some hardly, and of many classes some never. */
import { hashOf, type Random, seededRandom } from "@tributary/kernel";
import type { LabelledPhoto, Place } from "./tasks.ts";

const NAMES = ["main", "north", "south", "east", "west", "harbour", "yard", "annex"];
/** Of a class, at a place that is not the first. */
const ABSENT = 0.15;
/** With fewer classes, all are seen everywhere. */
const CLASSES_OF_ABSENT_MIN = 4;

/** `name` is the seed. */
export function placesOf(
  name: string,
  { labels, validation }: { readonly labels: readonly string[]; readonly validation: readonly LabelledPhoto[] },
): readonly Place[] {
  const counts = labels.map((_, label) => validation.filter((one) => one.label === label).length);
  const random = seededRandom(hashOf(name));
  return NAMES.map((place, i) => ({
    name: place,
    mix: shares(i === 0 ? counts : counts.map((count) => count * weightOf(counts.length, random))),
  }));
}

/** Gamma distributed with shape 2, so that mixes are Dirichlet's around the validation set's. */
function weightOf(classes: number, random: Random): number {
  const isAbsent = random() < ABSENT && classes >= CLASSES_OF_ABSENT_MIN;
  const weight = -Math.log((1 - random()) * (1 - random()));
  return isAbsent ? 0 : weight;
}

function shares(weights: readonly number[]): readonly number[] {
  const sum = weights.reduce((all, weight) => all + weight, 0);
  return weights.map((weight) => weight / sum);
}
