/** What a run of `demo -- retrain` is about: models, photos and places of one task, and what has to come of it. */
import type { Scene } from "@tributary/stack";
import type { Gains, UnseenFrames } from "./judge.ts";
import type { SiteSets } from "./sets.ts";

export const [CLEAR, DUSK] = ["clear", "dusk"] as const;

export type Story = {
  readonly task: string;
  /** Where it grows dark. */
  readonly site: string;
  readonly otherSites: readonly string[];
  /** Devices there. */
  readonly atSite: number;
  /** Folders: the devices' first model, and what routing is learned against. */
  readonly packages: { readonly edge: string; readonly cloud: string };
  readonly poolDir: string;
  readonly validationDir: string;
  readonly baseDir: string;
  readonly sceneOf: (site: string, view: string) => Scene;
  /** Blocks of the trainer's configuration. */
  readonly trainer: object;
  /** Photos that nothing else uses. */
  readonly unseen: UnseenFrames;
  /** What could be done without a training; null: it is not compared with that. */
  readonly gains: (() => Promise<Gains>) | null;
  /** What controls are trained on; null: there are none. */
  readonly controls: SiteSets | null;
  /** Whether the trainer is killed in each phase, and DVC and MLflow read what was made. */
  readonly isTried: boolean;
  readonly bars: Bars;
};

export type Bars = {
  /** Of the accuracy that the site lost. */
  readonly regainedMin: number;
  readonly unseenMin: number;
  /** Of all classes together, elsewhere: on average, and by the bound; null: there are too few unseen photos for it. */
  readonly cost: { readonly max: number; readonly boundMax: number } | null;
  /** Whether a person may let it pass where the gate has too few frames. */
  readonly mayBeHeld: boolean;
  readonly runMs: number;
};
