/**
 * Which model a device starts with (G7): the committed one, else the one before it, else the package of the configuration (which may be the
 * committed one itself, and is the first then). Each
 * is checked by its digests, loaded, and tested with its golden frames, without a network; the one on trial when the agent ended
 * is not among them.
 *
 * B1. A model that no longer reproduces its golden frames is skipped like one that cannot be loaded: since it was committed the
 *     runtime, a library or the hardware has changed, and its wrong answers would go unnoticed. The updater then follows the
 *     desired state again, tests the model again, and reports the result.
 * B2. If none reproduces them, a device that answers is better than one that does not: the first of them that loads runs, and
 *     reports that its golden frames fail.
 * B3. Golden frames that could not be tried (the model's process was killed) do not count against the model.
 */
import { type Digest, Failure, reasonOf } from "@tributary/kernel";
import { bootOrder, type DurableState } from "@tributary/updates";
import type { Slot } from "../slots.ts";
import type { PackageStore } from "./package-store.ts";

export type BootPorts = {
  readonly packageStore: Pick<PackageStore, "packageDir">;
  /** Opens the package in a folder, if its digest is this one; null: whatever it is. Throws Failure. */
  readonly open: (dir: string, digest: Digest | null) => Promise<Slot>;
  readonly factoryDir: string;
  /** Why it does not reproduce its golden frames; null: it does. Throws when they could not be tried. */
  readonly mismatchOf: (slot: Slot) => Promise<string | null>;
  readonly onUnusable: (unusable: {
    readonly modelDigest: string;
    readonly code: string;
    readonly reason: string;
  }) => void;
};

/** Throws when the factory's package is the only one and cannot be used: the operator has to repair it. */
export async function openSlot(durable: DurableState, ports: BootPorts): Promise<Slot> {
  const { packageStore, open, onUnusable, factoryDir } = ports;
  const places = bootOrder(durable).map((ref): { readonly dir: string; readonly digest: Digest | null } =>
    ref === null ? { dir: factoryDir, digest: null } : { dir: packageStore.packageDir(ref.digest), digest: ref.digest },
  );
  const failing: typeof places = [];
  let lastError: unknown;
  for (const { dir, digest } of places) {
    try {
      const slot = await open(dir, digest);
      const mismatch = await tried(slot, ports);
      if (mismatch === null) return slot;
      failing.push({ dir, digest });
      onUnusable({ modelDigest: slot.pkg.digest, code: "golden-mismatch", reason: mismatch });
      await slot.runner.close();
    } catch (error) {
      lastError = error;
      const code = error instanceof Failure ? error.code : "model-unusable";
      if (digest !== null) onUnusable({ modelDigest: digest, code, reason: reasonOf(error) });
    }
  }
  const [first] = failing;
  if (first === undefined) throw lastError;
  const slot = await open(first.dir, first.digest);
  slot.goldenPassed = false;
  return slot;
}

/** Why it does not reproduce its golden frames; null: it does, or they could not be tried (B3). */
async function tried(slot: Slot, { mismatchOf }: BootPorts): Promise<string | null> {
  try {
    const mismatch = await mismatchOf(slot);
    slot.goldenPassed = mismatch === null;
    return mismatch;
  } catch {
    return null;
  }
}
