// What a fault of a fleet of cameras is. F1. A fault is a pure function of a picture and of its moment: the same seeds give the same
// pixels. F2. What belongs to a camera (where a crack is) depends on `camera` alone, what a whole site shares on `site`, and what changes
// from frame to frame on `frame`. F3. Severity 0 is what a model's figures begin to show, 1 is severe; a fault of severity 0 is there.
import type { Picture } from "./picture.ts";

export type Moment = {
  /** From 0 to 1. */
  readonly severity: number;
  /** Seed of one camera. */
  readonly camera: number;
  /** Number of the camera's frame. */
  readonly frame: number;
  /** Hours since a midnight. */
  readonly hour: number;
  /** Seed of what the cameras of one site share. */
  readonly site?: number;
  /** For pictures of no known class: another picture of the same size and channels, such as one of another task. */
  readonly other?: Picture;
};

export type Fault = {
  readonly name: string;
  /** What is wrong, in the words of a technician. */
  readonly about: string;
  readonly cause: "pipeline" | "camera" | "site" | "mix" | "new-class" | "concept";
  /** Where it happens: one camera, all cameras of a site, all devices of one agent or model version, the whole fleet. */
  readonly place: "camera" | "site" | "version" | "fleet";
  /** The fault changes colours alone, so that a grey picture stays as it is. */
  readonly colourOnly?: true;
  /** One frame of a camera, before it is encoded. The picture itself where the fault is elsewhere, in one of the functions below. */
  readonly apply: (picture: Picture, at: Moment) => Picture;
  /** How the JPEG is made instead. */
  readonly encode?: (picture: Picture, at: Moment) => Promise<Buffer>;
  /** The number of the frame whose picture is sent in place of this one's. */
  readonly sends?: (at: Moment) => number;
  /** The shares of classes instead of a place's own. */
  readonly mix?: (mix: readonly number[], at: Moment) => readonly number[];
  /** What the label is now, of `classes` many. */
  readonly relabel?: (label: number, classes: number, at: Moment) => number;
};

/** Whether a fault changes anything that pictures of so many channels show. */
export function worksOn(fault: Fault, channels: 1 | 3): boolean {
  return channels === 3 || fault.colourOnly !== true;
}

/** A measure of the fault's strength, from the one at severity 0 to the one at 1. */
export function between(mild: number, severe: number, { severity }: Moment): number {
  return mild + (severe - mild) * severity;
}
