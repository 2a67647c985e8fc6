/** Draws of simulated fleets, from a seeded source. */
import type { Random } from "@tributary/kernel";

/** Successes of `n` tries, by inversion; quick where they are few. */
export function binomial(n: number, probability: number, random: Random): number {
  if (probability > 0.5) return n - binomial(n, 1 - probability, random);
  const odds = probability / (1 - probability);
  let mass = (1 - probability) ** n;
  let left = random();
  let count = 0;
  while (left > mass && count < n) {
    left -= mass;
    count += 1;
    mass *= (odds * (n - count + 1)) / count;
  }
  return count;
}

/** Standard normal (Box and Muller 1958). */
export function normal(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}
