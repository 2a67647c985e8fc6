/** What became of a record; every one but the first is counted by this code. */
export type SketchOutcome =
  | "folded"
  /** Delivered again. */
  | "repeated"
  /** No package of this digest is known. */
  | "package-unknown"
  /** The record's key is another device's. */
  | "device-mismatch"
  | "window-length-invalid"
  | "window-in-the-future"
  | "window-too-old"
  | "window-overlaps"
  | "window-empty"
  | "temperature-invalid"
  | "feature-unknown"
  | "counts-invalid"
  | "grid-invalid"
  | "class-unknown"
  | "cameras-too-many";

export type LabelOutcome =
  | "used"
  /** The frame is not among those drawn lately; the label waits for it. */
  | "frame-unknown"
  | "class-unknown"
  | "package-unknown"
  /** Somebody looked and it cannot be labelled. */
  | "without-class";
