/**
 * Which label of a camera may be repeated, and how old it is: the last one of a model, or the cloud's about a later frame. A label's age counts from the capture
 * of its own frame, however late the answer came.
 */
export type AgedLabel = { readonly capturedAt: number };

/** Null: there is none, or none that is young enough. */
export function labelToRepeat<Own extends AgedLabel, Cloud extends AgedLabel>(
  own: Own | null,
  cloud: Cloud | null,
  now: number,
  ageMsMax: number,
): { readonly label: Own | Cloud; readonly ageMs: number } | null {
  const label = cloud !== null && (own === null || cloud.capturedAt > own.capturedAt) ? cloud : own;
  if (label === null) return null;
  const ageMs = Math.max(0, now - label.capturedAt);
  return ageMs > ageMsMax ? null : { label, ageMs };
}
