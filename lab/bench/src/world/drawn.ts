/** A class, drawn from shares. */
import type { Random } from "@tributary/kernel";

export function drawn(mix: readonly number[], random: Random): number {
  let left = random();
  const index = mix.findIndex((share) => {
    left -= share;
    return left < 0;
  });
  return index < 0 ? mix.length - 1 : index;
}
