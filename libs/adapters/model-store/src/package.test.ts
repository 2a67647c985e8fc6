import { appendFile, cp, mkdtemp, readdir, readFile, rename, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { Failure, seededRandom } from "@tributary/kernel";
import { loadPackage, readPackageFile } from "./load.ts";
import { type PackageParts, writePackage } from "./write.ts";

const committed = (name: string) => join(import.meta.dirname, "../../../../models", name);
let dir = "";

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "tributary-package-"));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "accepted",
    (error: unknown) => (error instanceof Failure ? error.code : String(error)),
  );

async function partsOf(name: string): Promise<PackageParts> {
  const pkg = await loadPackage(committed(name));
  const files: Record<string, Uint8Array> = {};
  for (const path of Object.keys(pkg.manifest.files)) files[path] = await readPackageFile(pkg, path);
  return { ...pkg.manifest, files };
}

describe.each(["edge-resnet8", "cloud-vgg"])("%s", (name) => {
  test("loads, with everything a device or a cloud needs", async () => {
    const pkg = await loadPackage(committed(name));
    expect(pkg.digest).toMatch(/^[0-9a-f]{64}$/);
    expect(pkg.labels).toHaveLength(10);
    expect(pkg.golden.frames.length).toBeGreaterThanOrEqual(12);
    expect(pkg.policy !== null).toBe(name.startsWith("edge"));
    expect(await codeOf(loadPackage(committed(name), { digest: pkg.digest }))).toBe("accepted");
    expect(await codeOf(loadPackage(committed(name), { digest: "0".repeat(64) }))).toBe("package-digest-mismatch");
  });

  test("its parts give the same bytes again, hence the same digest (write.ts W1, W3)", async () => {
    const digest = await writePackage(join(dir, "copy"), await partsOf(name));
    expect(digest).toBe((await loadPackage(committed(name))).digest);
    expect(await writePackage(join(dir, "copy"), await partsOf(name))).toBe(digest);
    expect(await readdir(dir)).toEqual(["copy"]); // write.ts W2: nothing half-made is left.
  });
});

test("a package is replaced whole (write.ts W2)", async () => {
  const parts = await partsOf("edge-resnet8");
  const first = await writePackage(join(dir, "p"), parts);
  const second = await writePackage(join(dir, "p"), { ...parts, version: "9.9.9" });
  expect(second).not.toBe(first);
  expect((await loadPackage(join(dir, "p"))).manifest.version).toBe("9.9.9");
  const broken = { ...parts, files: { ...parts.files, "labels.json": new TextEncoder().encode("[1]") } };
  expect(await codeOf(writePackage(join(dir, "p"), broken))).toBe("package-labels-invalid");
  expect((await loadPackage(join(dir, "p"))).digest).toBe(second);
  expect(await readdir(dir)).toEqual(["p"]);
});

test("the documents of drift are read where a package lists them, and refused by name when malformed", async () => {
  const { files, ...parts } = await partsOf("edge-resnet8");
  const { "golden/faults.json": _faults, "confusion.json": _confusion, ...old } = files;
  const write = (more: Readonly<Record<string, unknown>>) => {
    const encoded = Object.entries(more).map(([path, json]) => [path, new TextEncoder().encode(JSON.stringify(json))]);
    return writePackage(join(dir, "p"), { ...parts, files: { ...old, ...Object.fromEntries(encoded) } });
  };
  await write({});
  expect(await loadPackage(join(dir, "p"))).toMatchObject({ faults: null, confusion: null });
  const faults = { formatVersion: 1, frames: 0, pipeline: [], camera: [{ name: "dark", shifts: { luminance: -0.3 } }] };
  const confusion = { formatVersion: 1, counts: Array(10).fill(Array(10).fill(1)), means: {} };
  await write({ "golden/faults.json": faults, "confusion.json": confusion });
  expect(await loadPackage(join(dir, "p"))).toMatchObject({ faults, confusion });
  expect(await codeOf(write({ "golden/faults.json": { ...faults, frames: 9 } }))).toBe("package-faults-invalid");
  expect(await codeOf(write({ "confusion.json": [] }))).toBe("package-confusion-invalid");
});

describe("load.ts L1: exactly the listed bytes, or a named refusal", () => {
  const harm: readonly [string, string, (at: string) => Promise<unknown>][] = [
    ["no manifest", "package-file-missing", (at) => rm(join(at, "manifest.json"))],
    ["a file missing", "package-file-missing", (at) => rm(join(at, "labels.json"))],
    ["a file more", "package-file-unlisted", (at) => writeFile(join(at, "extra.bin"), "x")],
    ["a file more, deeper", "package-file-unlisted", (at) => writeFile(join(at, "golden", "extra.jpg"), "x")],
    ["a byte more", "package-digest-mismatch", (at) => appendFile(join(at, "model.onnx"), "x")],
    ["a shorter file", "package-digest-mismatch", (at) => truncate(join(at, "model.onnx"), 1_000)],
    ["other labels of the same length", "package-digest-mismatch", (at) => edit(at, "labels.json", "cat", "cow")],
    ["a broken manifest", "package-manifest-invalid", (at) => truncate(join(at, "manifest.json"), 100)],
    ["a key we do not know", "package-manifest-invalid", (at) => edit(at, "manifest.json", '"name"', '"title"')],
    ["an entry outside", "package-manifest-invalid", (at) => edit(at, "manifest.json", '"model.onnx"', '"../x.onnx"')],
    ["an absurd size", "package-manifest-invalid", (at) => edit(at, "manifest.json", /"bytes": \d+/, '"bytes": 1e14')],
    ["a symbolic link", "package-file-not-plain", linkModel],
    ["a linked manifest", "package-file-not-plain", linkManifest],
  ];
  test.each(harm)("%s: %s", async (_what, code, harmful) => {
    const at = join(dir, "p");
    await cp(committed("edge-resnet8"), at, { recursive: true });
    await harmful(at);
    expect(await codeOf(loadPackage(at))).toBe(code);
  });

  test("any flipped bit anywhere is seen (seed 7)", async () => {
    const at = join(dir, "p");
    await cp(committed("edge-resnet8"), at, { recursive: true });
    const { digest, manifest } = await loadPackage(at);
    const random = seededRandom(7);
    for (const path of [...Object.keys(manifest.files), "manifest.json"]) {
      const bytes = await readFile(join(at, path));
      const flipped = Buffer.from(bytes);
      const i = Math.floor(random() * bytes.length);
      flipped[i] = (flipped[i] as number) ^ (1 << Math.floor(random() * 8));
      await writeFile(join(at, path), flipped);
      expect(await codeOf(loadPackage(at, { digest }))).toBe("package-digest-mismatch");
      await writeFile(join(at, path), bytes);
    }
    expect(await codeOf(loadPackage(at, { digest }))).toBe("accepted");
  });

  test("a later reading is checked again (load.ts L2)", async () => {
    const at = join(dir, "p");
    await cp(committed("edge-resnet8"), at, { recursive: true });
    const pkg = await loadPackage(at);
    await edit(at, "labels.json", "cat", "cow");
    expect(await codeOf(readPackageFile(pkg, "labels.json"))).toBe("package-digest-mismatch");
    expect(await codeOf(readPackageFile(pkg, "__proto__"))).toBe("package-file-unlisted");
  });
});

async function edit(at: string, path: string, from: string | RegExp, to: string): Promise<void> {
  const text = await readFile(join(at, path), "utf8");
  await writeFile(join(at, path), text.replace(from, to));
}

async function linkModel(at: string): Promise<void> {
  await rename(join(at, "model.onnx"), `${at}.onnx`);
  await symlink(`${at}.onnx`, join(at, "model.onnx"));
}

async function linkManifest(at: string): Promise<void> {
  await rename(join(at, "manifest.json"), `${at}.json`);
  await symlink(`${at}.json`, join(at, "manifest.json"));
}
