/** `models pack` on the real runtime, from the committed packages' own files: their golden frames stand in for validation. */
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { packageFiles } from "@tributary/inference";
import { loadPackage, readPackageFile } from "@tributary/model-store";
import { checkGoldenFrames, OnnxModelHost } from "@tributary/onnx";
import { parsePolicy } from "@tributary/routing";
import { packModel } from "./models-pack.ts";

const MODELS = fileURLToPath(new URL("../../models/", import.meta.url));
const EDGE = join(MODELS, "edge-resnet8");
const CLOUD = join(MODELS, "cloud-vgg");
const COPIES = 8;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "tributary-pack-test-"));
  const { golden, labels } = await loadPackage(EDGE);
  await mkdir(join(folder, "source"));
  for (const name of [packageFiles.model, packageFiles.labels, packageFiles.preprocessor]) {
    await copyFile(join(EDGE, name), join(folder, "source", name));
  }
  await writeFile(join(folder, "source", "lineage.json"), '{ "dataset": "golden frames" }');
  await mkdir(join(folder, "frames"));
  const named: Record<string, string> = {};
  for (let copy = 0; copy < COPIES; copy++) {
    for (const [i, { jpeg, logits }] of golden.frames.entries()) {
      const file = `${copy}-${i}.jpg`;
      await copyFile(join(EDGE, jpeg), join(folder, "frames", file));
      // Every seventh label disagrees with the edge, so that there is something to learn.
      const place = logits.indexOf(Math.max(...logits)) + ((copy * golden.frames.length + i) % 7 === 0 ? 1 : 0);
      named[file] = labels[place % labels.length] as string;
    }
  }
  await writeFile(join(folder, "frames", "labels.json"), JSON.stringify(named));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const options = (out: string) => ({
  source: join(folder, "source"),
  validation: join(folder, "frames"),
  out: join(folder, out),
  name: "edge-test",
  version: "1.2.3",
  hardwareClass: "test",
  latencyBudgetMs: 40,
  threads: 1,
  cloud: CLOUD,
});

test("a package loads, passes its own golden frames, has a policy, and is the same bytes again (K2)", async () => {
  const digest = await packModel(options("one"), () => {});
  expect(await packModel(options("two"), () => {})).toBe(digest);
  const pkg = await loadPackage(join(folder, "one"), { digest });
  expect(pkg.manifest).toMatchObject({ name: "edge-test", version: "1.2.3", latencyBudgetMs: 40 });
  expect(pkg.manifest.lineage.dataset).toBe("golden frames");
  expect(pkg.manifest.metrics.accuracy).toBeCloseTo(1 - 19 / 128, 10);
  expect(pkg.referenceSketch.frames).toBe(128);
  const policy = parsePolicy(pkg.policy);
  expect(policy.temperature).toBe(pkg.calibration.temperature);
  expect(policy.guarantee.escalationShare).toBeLessThanOrEqual(policy.escalationShareMax);
  const model = await new OnnxModelHost(loadPackage).load(join(folder, "one"), { threads: 1 });
  try {
    const report = await checkGoldenFrames(model, pkg, readPackageFile);
    expect(report).toMatchObject({ passed: true, equal: pkg.golden.frames.length });
  } finally {
    await model.close();
  }
}, 60_000);

test("what cannot be packed is named, and nothing is left behind", async () => {
  const unknown = join(folder, "unknown.json");
  await writeFile(unknown, '{ "escalationShareMax": 0.2, "luck": 1 }');
  await expect(packModel({ ...options("three"), policy: unknown }, () => {})).rejects.toThrow("luck");
  const wrong = join(folder, "wrong");
  await mkdir(wrong);
  await writeFile(join(wrong, "labels.json"), '{ "a.jpg": "unicorn" }');
  await expect(packModel({ ...options("three"), validation: wrong }, () => {})).rejects.toThrow("unicorn");
  await expect(readFile(join(folder, "three", "manifest.json"))).rejects.toThrow("ENOENT");
});

test("the committed edge package's policy reads, and was learned against the committed cloud package", async () => {
  const [edge, cloud] = [await loadPackage(EDGE), await loadPackage(CLOUD)];
  expect(parsePolicy(edge.policy).labels).toEqual(edge.labels);
  expect(edge.manifest.lineage.routingPolicyLearnedAgainst).toContain(cloud.digest);
  expect(edge.manifest.files[packageFiles.model]?.bytes).toBeLessThanOrEqual(200_000);
  expect(cloud.manifest.files[packageFiles.model]?.bytes).toBeLessThanOrEqual(20_000_000);
});
