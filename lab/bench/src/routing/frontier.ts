/** Share of the cloud's gain kept at each budget, by our score and by common scores, all on the same
 * resamples of the same frames. */
import { seededRandom } from "@tributary/kernel";
import { gainShare, orderByScore, type ScoringPolicy, scoreOf } from "@tributary/routing";
import { bootstrapIntervals, type Interval } from "@tributary/statistics";
import type { TestFrame } from "./judged.ts";

export const SHARES = [0.2, 0.3, 0.4] as const;
export const GAIN_MIN: Readonly<Record<(typeof SHARES)[number], number>> = { 0.2: 0.65, 0.3: 0.8, 0.4: 0.9 };

export type Method = { readonly name: string; readonly order: Int32Array };

export const methodsOf = (frames: readonly TestFrame[], policy: ScoringPolicy): readonly Method[] =>
  (
    [
      ["tributary score", ({ calibrated }) => scoreOf(policy, calibrated).score],
      ["fixed confidence", ({ calibrated }) => -calibrated.confidence],
      ["fixed margin", ({ calibrated }) => -calibrated.margin],
      ["fixed entropy", ({ calibrated }) => calibrated.entropy],
    ] as const satisfies readonly (readonly [string, (frame: TestFrame) => number])[]
  ).map(([name, score]) => ({ name, order: orderByScore(frames.map(score)) }));

export type FrontierPoint = {
  readonly share: (typeof SHARES)[number];
  readonly gains: readonly { readonly method: string; readonly gain: number; readonly interval: Interval }[];
  /** Of confidence, margin and entropy, at this share. */
  readonly best: string;
  /** Ours less the best's. */
  readonly lead: { readonly value: number; readonly interval: Interval };
};

export function frontierOf(
  frames: readonly TestFrame[],
  methods: readonly Method[],
  resamples: number,
  seed: number,
): readonly FrontierPoint[] {
  const random = seededRandom(seed);
  return SHARES.map((share) => {
    const gains = methods.map(({ order }) => gainShare(frames, order, share));
    const others = gains.slice(1);
    const best = 1 + others.indexOf(Math.max(...others));
    const multiplicity = new Int32Array(frames.length);
    const intervals = bootstrapIntervals(
      frames.length,
      (drawn) => {
        multiplicity.fill(0);
        for (const i of drawn) multiplicity[i] = (multiplicity[i] ?? 0) + 1;
        const redrawn = methods.map(({ order }) => gainShare(frames, order, share, multiplicity));
        return [...redrawn, (redrawn[0] ?? Number.NaN) - (redrawn[best] ?? Number.NaN)];
      },
      { random, resamples },
    );
    return {
      share,
      gains: methods.map(({ name }, i) => ({
        method: name,
        gain: gains[i] as number,
        interval: intervals[i] as Interval,
      })),
      best: methods[best]?.name ?? "",
      lead: {
        value: (gains[0] as number) - (gains[best] as number),
        interval: intervals[methods.length] as Interval,
      },
    };
  });
}
