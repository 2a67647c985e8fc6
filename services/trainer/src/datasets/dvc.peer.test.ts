/** DVC itself on the other side: it pulls what we froze, finds nothing changed in it, and counts the same differences. */
import { cpSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "@jest/globals";
import { FolderObjectStore } from "@tributary/blob-store";
import type { Dataset } from "@tributary/contracts";
import { sha256 } from "@tributary/model-store";
import { openDvc, tempDir } from "@tributary/testing";
import { datasetDifference, parseDatasetManifest } from "@tributary/training/dataset";
import { DatasetStore } from "./dataset-store.ts";
import { requestOf, siteFrames } from "./datasets.test-kit.ts";
import { dvcName, dvcText } from "./dvc.ts";
import { Freezer } from "./freezer.ts";

const dir = tempDir("dvc");
afterAll(() => dir.remove());

test("dvc pulls what we froze, computes the same MD5, and finds the differences that we find", async () => {
  const objects = await FolderObjectStore.open({ dir: join(dir.path, "remote") });
  const store = new DatasetStore(objects);
  const freezer = new Freezer({ store, workDir: join(dir.path, "work"), now: () => 1_000, hashMsMax: 60_000 });
  const { signal } = new AbortController();
  const frozen = async (frames: Awaited<ReturnType<typeof siteFrames>>): Promise<Dataset> => {
    const outcome = await freezer.freeze(requestOf(frames), signal);
    if (outcome.kind === "too-few") throw new Error(outcome.message);
    return outcome.dataset;
  };
  const frames = await siteFrames(60, 1);
  const relabelled = frames.map((frame, i) =>
    i < 5 ? { ...frame, labels: [{ label: "dog", source: "PERSON" as const, by: "ada", confidence: null }] } : frame,
  );
  const first = await frozen(frames.slice(0, 55));
  const second = await frozen(relabelled.slice(4));

  const name = dvcName(first);
  const { repository, dvc, git } = await openDvc(join(dir.path, "pulled"), fileURLToPath(store.uri));
  for (const [dataset, message] of [
    [first, "first"],
    [second, "second"],
  ] as const) {
    writeFileSync(join(repository, `${name}.dvc`), dvcText(dataset));
    await dvc("pull", "--quiet");
    await git("add", "--all");
    await git("commit", "--quiet", "--message", message);
  }

  const manifest = parseDatasetManifest(await store.manifest(second));
  expect(readdirSync(join(repository, name, "frames")).sort()).toEqual(manifest.map(({ sha256 }) => `${sha256}.jpg`));
  for (const { file, sha256: digest } of manifest) {
    expect(sha256(readFileSync(join(repository, name, file)))).toBe(digest);
  }
  expect((await dvc("status", "--json")).trim()).toBe("{}");
  cpSync(join(repository, name), join(repository, "copy"), { recursive: true });
  await dvc("add", "--quiet", "copy");
  expect(readFileSync(join(repository, "copy.dvc"), "utf8")).toContain(`md5: ${second.md5}.dir`);

  const found = JSON.parse(await dvc("diff", "--json", "HEAD~1", "HEAD"));
  const files = (changes: readonly { readonly path: string }[]) =>
    changes.filter(({ path }) => path.endsWith(".jpg")).length;
  const ours = datasetDifference(parseDatasetManifest(await store.manifest(first)), manifest);
  expect({ added: files(found.added), removed: files(found.deleted) }).toEqual({
    added: ours.added,
    removed: ours.removed,
  });
  expect([ours.added, ours.removed]).toEqual([5, 4]);
}, 120_000);
