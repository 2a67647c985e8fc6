import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, expect, test } from "@jest/globals";
import { type ListedModel, listedPartOf, parseManifest } from "@tributary/inference";
import { listedModelOf, targetPath } from "./target.ts";

let bytes: Uint8Array;
let digest = "";
let listed: ListedModel;
const sha256 = (content: Uint8Array) => createHash("sha256").update(content).digest("hex");

beforeAll(async () => {
  bytes = await readFile(join(import.meta.dirname, "../../../../models/edge-resnet8/manifest.json"));
  digest = sha256(bytes);
  const manifest = parseManifest(JSON.parse(new TextDecoder().decode(bytes)));
  listed = { ...listedPartOf(manifest), manifestBytes: bytes.length };
});

test("an entry is a target of ours only in our form (target.ts P1)", () => {
  const { manifestBytes, ...custom } = listed;
  const entry = { length: manifestBytes, hashes: { sha256: digest }, custom };
  expect(listedModelOf(targetPath(digest), entry)).toEqual([digest, listed]);
  const wrong: [string, object][] = [
    [digest, {}],
    [`${digest}.jsonx`, {}],
    [`${digest.toUpperCase()}.json`, {}],
    [targetPath("0".repeat(64)), {}],
    [targetPath(digest), { hashes: { sha512: digest } }],
    [targetPath(digest), { hashes: {} }],
    [targetPath(digest), { length: 2 ** 21 }],
    [targetPath(digest), { length: 1.5 }],
    [targetPath(digest), { custom: {} }],
    [targetPath(digest), { custom: { ...custom, name: 7 } }],
    [targetPath(digest), { custom: { ...custom, version: "v".repeat(257) } }],
    [targetPath(digest), { custom: { ...custom, packageBytes: -1 } }],
    [targetPath(digest), { custom: { ...custom, packageBytes: Number.NaN } }],
  ];
  for (const [path, change] of wrong) expect(listedModelOf(path, { ...entry, ...change })).toBeUndefined();
});
