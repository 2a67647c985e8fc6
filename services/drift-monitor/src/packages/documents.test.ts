/** The documents of a package, from a folder and from a model registry that is not to be trusted. */
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import type { DriftReference } from "@tributary/drift";
import { repositoryRoot } from "@tributary/testing";
import { TinyModelRegistry } from "@tributary/testing/devices";
import { fetchReference, readReference } from "./documents.ts";

const folder = `${repositoryRoot}/models/edge-resnet8`;

describe("documents of a package", () => {
  let registry: TinyModelRegistry;
  let digest: string;
  let reference: DriftReference;
  beforeAll(async () => {
    registry = await TinyModelRegistry.open();
    digest = await registry.add(folder);
    reference = await readReference(folder);
  });
  afterAll(() => registry.close());
  const fetched = (of = digest) =>
    fetchReference(of, { url: registry.url, timeoutMs: 5_000 }, new AbortController().signal);

  test("are the same from a folder and from the model registry, which is asked for nothing else", async () => {
    expect(reference.modelDigest).toBe(digest);
    registry.asked.length = 0;
    expect(await fetched()).toEqual(reference);
    expect(registry.asked.length).toBeLessThanOrEqual(6);
  });

  test.each([
    ["other bytes", (bytes: Buffer) => Buffer.from(bytes.toString().replace("cat", "tac")), "package-digest-mismatch"],
    ["more bytes", (bytes: Buffer) => Buffer.concat([bytes, bytes]), "package-digest-mismatch"],
    ["no answer", () => "away" as const, "api-unreachable"],
  ])("%s than listed are refused", async (_, tampered, code) => {
    registry.tamper = (path, bytes) => (path.endsWith(digest) ? null : tampered(bytes));
    await expect(fetched()).rejects.toMatchObject({ code });
    registry.tamper = () => null;
  });

  test("a package that is not there is refused", async () => {
    await expect(fetched("0".repeat(64))).rejects.toMatchObject({ status: 404 });
    await expect(readReference(`${repositoryRoot}/docs`)).rejects.toMatchObject({ code: "package-unreadable" });
  });
});
