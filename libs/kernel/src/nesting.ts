/**
 * How deep lists and objects are nested in a value from outside. JSON.parse takes any depth, but JSON.stringify and most other code that
 * walks through a value overflow the stack some thousand levels down.
 */
export const LEVELS_MAX = 64;

/** Whether there are more than `levelsMax` levels; it does not look below them. */
export function isNestedDeeper(value: unknown, levelsMax: number = LEVELS_MAX): boolean {
  if (typeof value !== "object" || value === null) return false;
  return levelsMax === 0 || Object.values(value).some((inner) => isNestedDeeper(inner, levelsMax - 1));
}
