type Shift = Readonly<Record<string, number>>;

/**
 * A shift as what it is made of. Three channels of a grey picture are one thing and not three, as confidence, margin and entropy are:
 * what several streams have in common counts once, and beside it how they differ.
 */
export function shiftParts(shift: Shift): Shift {
  const parts: Record<string, number> = {};
  for (const name in shift) if (!name.startsWith("label:")) parts[name] = shift[name] as number;
  const entropy = -(parts.entropy ?? 0);
  joined({ ...parts, entropy }, parts, "certainty", ["confidence", "margin", "entropy"], false);
  joined(parts, parts, "light", ["luminance", "channel_mean_r", "channel_mean_g", "channel_mean_b"], true);
  joined(parts, parts, "contrast", ["channel_sd_r", "channel_sd_g", "channel_sd_b"], true);
  return parts;
}

/** Replaces streams by their mean and, if wanted, by what each differs from it. */
function joined(
  values: Shift,
  into: Record<string, number>,
  name: string,
  of: readonly string[],
  differs: boolean,
): void {
  const present = of.filter((stream) => stream in into);
  if (present.length === 0) return;
  const mean = present.reduce((sum, stream) => sum + (values[stream] as number), 0) / present.length;
  for (const stream of present) {
    if (differs) into[stream] = (values[stream] as number) - mean;
    else delete into[stream];
  }
  into[name] = mean;
}
