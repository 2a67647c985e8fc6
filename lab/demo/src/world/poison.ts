/** Tables that must not stay: one whose counts are wrong, and one of other classes. */
import type { WorldTable } from "@tributary/world";

/** So sure of it that its parents do not matter. */
const TIMES = 20;

/** Every place has the counts of the next class: as large, and wrong. */
export function poisoned(table: WorldTable): WorldTable {
  const rotated = (counts: readonly number[]) =>
    counts.map((_, i) => TIMES * (counts[(i + 1) % counts.length] as number));
  const cells = Object.entries(table.cells).map(([path, counts]) => [path, rotated(counts)] as const);
  return { ...table, cells: Object.fromEntries(cells) };
}

export const otherClasses = (table: WorldTable): WorldTable => ({
  ...table,
  labels: table.labels.map((label) => `other-${label}`),
});
