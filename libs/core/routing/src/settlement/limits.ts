/** Bounds of the fold (G9). */
export type SettlementLimits = {
  /** Frames remembered per device, settled ones that still await a record included. */
  readonly framesMax: number;
  /** Boots per device whose dedupe windows are kept; the one unused longest goes first. */
  readonly bootsMax: number;
  /** A device may not ask for a longer deadline. */
  readonly deadlineMsMax: number;
  /** A frame that comes this long after its deadline, and of which nothing is remembered, is left to its prediction. */
  readonly lateFrameMsMax: number;
};

export const settlementLimits: SettlementLimits = {
  framesMax: 4_096,
  bootsMax: 16,
  deadlineMsMax: 600_000,
  lateFrameMsMax: 300_000,
};
