/** What an attack is: who sends what, beside whom, and what is removed in its control. */
import type { Sabotage } from "../control.ts";
import type { Talker } from "../talker.ts";
import type { World } from "./worlds.ts";

/** Counts of what the hostile device did so far, for the report. */
export type Progress = (figures: { readonly [name: string]: number }) => void;

export type Way = {
  readonly name: string;
  readonly summary: string;
  readonly world: World;
  /** The reasons, one of which the device must be listed under; null: under any; none: it need not be listed. */
  readonly named: readonly string[] | null;
  /** How many hostile devices there are, one count after the other; one by default. */
  readonly rogues?: readonly number[];
  /** Its last period lasts until the device has done so much, if it may, within `secondsMax`. */
  readonly until?: { readonly figure: string; readonly count: number; readonly secondsMax: number };
  /** Whether people's label queue is looked at. */
  readonly isOfQueue?: true;
  /** What the bridge acknowledges of it at most: its rate of messages, or of filters. */
  readonly acknowledgedMax?: { readonly perSecond: number; readonly burst: number };
  /** Whether its frames have no other claim to the cloud. */
  readonly isOfDraws?: true;
  /** Whether it takes place while the routers are away. */
  readonly isWithoutRouters?: true;
  readonly control: Control;
  run(rogue: Talker, progress: Progress): Promise<void>;
};

/** How the protection is removed: by modules of lab/sabotage, by the process's name, or by more configuration. */
export type Control = {
  readonly sabotage?: Sabotage;
  readonly bridge?: object;
};
