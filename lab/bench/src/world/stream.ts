/** Real photos in simulated contexts: which class is seen depends on the place and the hour; which photo of the class does not. */
import type { Random } from "@tributary/kernel";
import type { Factor } from "@tributary/world";
import { drawn } from "./drawn.ts";

/** A photo with the answers of both models. */
export type Photo = {
  readonly label: number;
  readonly logits: Float32Array;
  readonly cloud: number;
};

export type Seen = {
  readonly photo: Photo;
  readonly context: { readonly place: string; readonly hour: number };
};

export const factors: readonly Factor[] = [
  { name: "place", kind: "text" },
  { name: "hour", kind: "number", min: 0, max: 24, edges: [6, 12, 18] },
];

export const PLACES = 12;
const HOURS = 24;

/** Shares of the classes, by place and quarter of the day. */
export type Mixes = (place: number, hour: number) => readonly number[];

/** `isShifted`: each context has a mix of its own; otherwise all classes are as frequent everywhere. */
export function mixesOf(classes: number, isShifted: boolean, random: Random): Mixes {
  const mix = () => {
    const raw = Array.from({ length: classes }, () => (isShifted ? Math.log(1 - random()) ** 2 : 1));
    const total = raw.reduce((sum, value) => sum + value, 0);
    return raw.map((value) => value / total);
  };
  const all = Array.from({ length: PLACES }, () => Array.from({ length: 4 }, mix));
  return (place, hour) => all[place]?.[Math.floor(hour / 6)] as readonly number[];
}

/** How many equally frequent classes a context is like, on average: e to the entropy of its mix. */
export function effectiveClasses(mixes: Mixes): number {
  let sum = 0;
  for (let place = 0; place < PLACES; place++) {
    for (let hour = 0; hour < HOURS; hour += 6) {
      const entropy = mixes(place, hour).reduce((h, share) => h - (share > 0 ? share * Math.log(share) : 0), 0);
      sum += Math.exp(entropy);
    }
  }
  return sum / (PLACES * 4);
}

export function streamOf(photos: readonly Photo[], mixes: Mixes, frames: number, random: Random): readonly Seen[] {
  const byLabel = Map.groupBy(photos, ({ label }) => label);
  return Array.from({ length: frames }, () => {
    const place = Math.floor(PLACES * random());
    const hour = HOURS * random();
    const own = byLabel.get(drawn(mixes(place, hour), random)) as readonly Photo[];
    const photo = own[Math.floor(own.length * random())] as Photo;
    return { photo, context: { place: `cell-${place}`, hour } };
  });
}

/** The control: every frame has the context of another one. */
export function shuffled(stream: readonly Seen[], random: Random): readonly Seen[] {
  const contexts = stream.map(({ context }) => context);
  for (let i = contexts.length - 1; i > 0; i--) {
    const j = Math.floor((i + 1) * random());
    [contexts[i], contexts[j]] = [contexts[j] as Seen["context"], contexts[i] as Seen["context"]];
  }
  return stream.map(({ photo }, i) => ({ photo, context: contexts[i] as Seen["context"] }));
}
