import { expect, test } from "@jest/globals";
import { Failure } from "@tributary/kernel";
import { silentTelemetry } from "@tributary/testing";
import { PackageBlobs } from "./package-blobs.ts";

const digest = (n: number) => `${n}`.padStart(64, "0");
const [older, newer, model, shared, picture] = [1, 2, 3, 4, 5].map(digest) as [string, string, string, string, string];

/** A registry that lists packages of these files, and how often a manifest was read. */
function registryOf(files: Record<string, readonly string[]>) {
  const listed = new Map<string, never>();
  const unreadable = new Set<string>();
  const reads: string[] = [];
  const manifest = async (of: string) => {
    reads.push(of);
    if (unreadable.has(of)) throw new Failure("blob-store-broken", "retry", "the disk is away");
    const entries = files[of]?.map((sha256, i) => [`${i}.bin`, { sha256, bytes: 1 }]) ?? [];
    return { digest: of, bytes: 1, manifest: { files: Object.fromEntries(entries) } } as never;
  };
  const blobs = new PackageBlobs({ listed: () => listed }, { manifest }, silentTelemetry());
  return { blobs, listed, unreadable, reads, list: (one: string) => listed.set(one, {} as never) };
}

test("a device reaches the manifest and the files of listed packages, and no picture of a set", async () => {
  const { blobs, list } = registryOf({ [older]: [model, shared] });
  expect(await blobs.has(model)).toBe(false);
  list(older);
  const has = await Promise.all([older, model, shared, picture].map((one) => blobs.has(one)));
  expect(has).toEqual([true, true, true, false]);
});

test("a picture that a package has as well is the package's, until no listed package has it", async () => {
  const { blobs, listed, list } = registryOf({ [older]: [picture], [newer]: [model] });
  list(older);
  list(newer);
  expect(await blobs.has(picture)).toBe(true);
  listed.delete(older);
  expect([await blobs.has(picture), await blobs.has(older), await blobs.has(model)]).toEqual([false, false, true]);
});

test("a manifest is read once; one that cannot be read gives nothing away, and is read again", async () => {
  const { blobs, list, reads, unreadable } = registryOf({ [older]: [model] });
  list(older);
  unreadable.add(older);
  expect(await blobs.has(model)).toBe(false);
  unreadable.clear();
  expect(await Promise.all([blobs.has(model), blobs.has(model)])).toEqual([true, true]);
  await blobs.has(picture);
  expect(reads).toEqual([older, older]);
});
