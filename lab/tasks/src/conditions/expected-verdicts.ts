// What a monitor of drift may report of a fault: the cause, and names of the codebook that packing records (camera-faults.ts and
// pipeline-faults.ts of libs/model-packaging). Half of the faults are in no codebook and have no name.
import type { Fault } from "./fault.ts";

/** What may be reported of a fault: the cause, and names. Faults that are in no codebook have none. */
type ExpectedVerdict = { readonly causes: readonly string[]; readonly names: readonly string[] };

const byCause: Readonly<Record<Fault["cause"], readonly string[]>> = {
  pipeline: ["PREPROCESSING"],
  camera: ["CAMERA"],
  site: ["WORLD"],
  mix: ["LABEL_SHIFT"],
  "new-class": ["WORLD"],
  concept: ["CONCEPT"],
};

/** Names that the codebook has for a fault of the generator. */
const names: Readonly<Record<string, readonly string[]>> = {
  defocus: ["out-of-focus"],
  "lens-dirt": ["dirty-lens"],
  condensation: ["fogged-lens"],
  covered: ["covered", "half-covered"],
  "dead-pixels": ["dead-pixels"],
  "sensor-noise": ["sensor-noise"],
  "colour-cast": ["warm-light", "cold-light"],
  "hard-compression": ["hard-compression"],
  knocked: ["moved"],
  "upside-down": ["upside-down"],
  vibration: ["motion-blur"],
  rain: ["rain"],
  snow: ["snow"],
  fog: ["haze"],
  "lights-out": ["dark"],
  "low-sun": ["glare"],
  "channels-swapped": ["channels-swapped"],
  "wrong-rescale": ["not-rescaled", "rescaled", "rescaled-twice"],
  "wrong-normalisation": ["mean-not-subtracted", "deviation-not-divided", "not-normalised", "normalised-twice"],
  "wrong-colour-space": ["limited-range", "range-expanded-twice"],
  "nearest-resize": ["nearest", "not-antialiased", "other-kernel"],
  letterboxed: ["letterboxed"],
  "orientation-ignored": [
    ...["flipped-horizontally", "flipped-vertically", "rotated-90", "rotated-180", "rotated-270"],
    ...["width-and-height-exchanged", "exif-orientation-applied"],
  ],
};

export const expectedVerdict = ({ name, cause }: Fault): ExpectedVerdict => ({
  causes: byCause[cause],
  names: names[name] ?? [],
});
