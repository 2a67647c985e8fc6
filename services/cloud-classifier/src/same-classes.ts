/** The classes of a package that replaces an active one. */
import type { ModelPackage } from "@tributary/inference";
import { Failure } from "@tributary/kernel";

/** Throws unless they are the active one's, in any order: routing policies and readers of answers know those. */
export function mustHaveClasses(
  { labels, manifest }: Pick<ModelPackage, "labels"> & { readonly manifest: { name: string; version: string } },
  active: readonly string[],
): void {
  const added = labels.filter((label) => !active.includes(label));
  const missing = active.filter((label) => !labels.includes(label));
  if (added.length + missing.length === 0) return;
  const what = [...added.map((label) => `+${label}`), ...missing.map((label) => `-${label}`)].slice(0, 6).join(" ");
  const message = `${manifest.name}@${manifest.version} has other classes than the active package (${what})`;
  throw new Failure(
    "package-classes-differ",
    "ask-a-person",
    `${message}: give it a model name and a target of its own`,
  );
}
