/** Whether the hardware is too hot to run the full model, with hysteresis: what is shed as soon as it is hot returns only after it was
 * cool for a while, or it would be hot again at once. */
export type HeatSettings = {
  /** In degrees Celsius: hot from here on, */
  readonly hotFrom: number;
  /** and cool again once it was below this, and not throttled, for `coolMs`. */
  readonly coolBelow: number;
  readonly coolMs: number;
};

export type Reading = {
  /** Of the hottest sensor; null: none could be read. */
  readonly celsius: number | null;
  /** The firmware or kernel holds the clock back at this moment; null: unknown. */
  readonly isThrottled: boolean | null;
};

export type Heat = { readonly isHot: boolean /** Null: it is not cool. */; readonly coolSince: number | null };

export const noHeat: Heat = { isHot: false, coolSince: null };

/** A reading that failed changes nothing: neither is a broken sensor heat, nor does it end one. `at` in ms, monotonic. */
export function heatNext(heat: Heat, { celsius, isThrottled }: Reading, at: number, settings: HeatSettings): Heat {
  if (isThrottled === true || (celsius !== null && celsius >= settings.hotFrom))
    return { isHot: true, coolSince: null };
  if (celsius === null && isThrottled === null) return heat;
  if (celsius !== null && celsius >= settings.coolBelow) return { ...heat, coolSince: null };
  const coolSince = heat.coolSince ?? at;
  return { isHot: heat.isHot && at - coolSince < settings.coolMs, coolSince };
}

/** What is shed stays shed, but a short test does no harm. */
export const isCooling = ({ isHot, coolSince }: Heat): boolean => isHot && coolSince !== null;

export const isHotNow = ({ isHot, coolSince }: Heat): boolean => isHot && coolSince === null;
