import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "@jest/globals";
import { type ListedModel, listedPartOf, type ModelManifest, parseManifest } from "@tributary/inference";
import { Failure, seededRandom } from "@tributary/kernel";
import { verifyManifest } from "./verify-manifest.ts";

let bytes: Uint8Array;
let digest = "";
let listed: ListedModel;
let manifest: ModelManifest;
const sha256 = (content: Uint8Array) => createHash("sha256").update(content).digest("hex");

beforeAll(async () => {
  bytes = await readFile(join(import.meta.dirname, "../../../../../models/edge-resnet8/manifest.json"));
  digest = sha256(bytes);
  manifest = parseManifest(JSON.parse(new TextDecoder().decode(bytes)));
  listed = { ...listedPartOf(manifest), manifestBytes: bytes.length };
});

const codeOf = (work: () => unknown): string => {
  try {
    work();
    return "accepted";
  } catch (error) {
    return error instanceof Failure ? error.code : String(error);
  }
};

describe("a manifest against its listing", () => {
  test("is taken as it was listed, for the hardware it was made for", () => {
    expect(verifyManifest(bytes, digest, listed).name).toBe(listed.name);
    const on = (packageClass: string, deviceClass: string) => {
      const content = new TextEncoder().encode(JSON.stringify({ ...manifest, hardwareClass: packageClass }));
      const entry = { ...listed, hardwareClass: packageClass, manifestBytes: content.length };
      return codeOf(() => verifyManifest(content, sha256(content), entry, deviceClass));
    };
    expect(on("rpi5", "rpi5")).toBe("accepted");
    expect(on("rpi5", "x64")).toBe("package-hardware-mismatch");
    for (const fitsAll of ["generic", "any"]) expect(on(fitsAll, "x64")).toBe("accepted");
  });

  test("any changed byte, missing end or addition is refused (seed 3)", () => {
    const random = seededRandom(3);
    for (let i = 0; i < 500; i++) {
      const changed = Uint8Array.from(bytes);
      const at = Math.floor(random() * bytes.length);
      changed[at] = (changed[at] as number) ^ (1 << Math.floor(random() * 8));
      expect(codeOf(() => verifyManifest(changed, digest, listed))).toBe("package-digest-mismatch");
      expect(codeOf(() => verifyManifest(bytes.subarray(0, at), digest, listed))).toBe("package-digest-mismatch");
    }
    expect(codeOf(() => verifyManifest(Buffer.concat([bytes, Buffer.of(0x20)]), digest, listed))).toBe(
      "package-digest-mismatch",
    );
  });

  test("one that differs from its listing is refused", () => {
    for (const key of ["name", "version", "hardwareClass", "packageBytes"] as const) {
      const other = { ...listed, [key]: typeof listed[key] === "string" ? "another" : 1 };
      expect(codeOf(() => verifyManifest(bytes, digest, other))).toBe("package-listing-mismatch");
    }
    for (const text of ["", "null", "{}", "[", '{"formatVersion":2}']) {
      const content = new TextEncoder().encode(text);
      const entry = { ...listed, manifestBytes: content.length };
      expect(codeOf(() => verifyManifest(content, sha256(content), entry))).toBe("package-manifest-invalid");
    }
  });
});
