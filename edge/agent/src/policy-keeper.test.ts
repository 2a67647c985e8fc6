import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, test } from "@jest/globals";
import { RoutingPolicy } from "@tributary/contracts";
import { PolicyKeeper } from "./policy-keeper.ts";

const folder = new URL("../../../models/edge-resnet8/", import.meta.url);
const read = (file: string): unknown => JSON.parse(readFileSync(new URL(file, folder), "utf8"));
const sha256Hex = (text: string) => createHash("sha256").update(text).digest("hex");
const digest = "d".repeat(64);
const keeperOf = () =>
  new PolicyKeeper({ digest, labels: read("labels.json") as string[], policy: read("policy.json") }, sha256Hex);

describe("policy keeper", () => {
  test("policy-keeper.ts R2: the package's policy, until one is received", () => {
    const keeper = keeperOf();
    expect(keeper.origin).toBe("package");
    const next: RoutingPolicy = { ...keeper.policy, policyVersion: "e".repeat(64), scoreMin: 0.5, createdAt: 7 };
    expect(keeper.apply(RoutingPolicy.encodeSingleObject(next), "downlink")).toBe(true);
    expect(keeper.policy).toEqual(next);
    expect(keeper.apply(RoutingPolicy.encodeSingleObject(next), "downlink")).toBe(false);
  });

  test("policy-keeper.ts R2: withdrawn, the package's own is in force again", () => {
    const keeper = keeperOf();
    const own = keeper.policy;
    keeper.apply(RoutingPolicy.encodeSingleObject({ ...own, policyVersion: "e".repeat(64) }), "downlink");
    expect(keeper.reset()).toBe(true);
    expect(keeper.policy).toEqual(own);
    expect(keeper.origin).toBe("package");
    expect(keeper.reset()).toBe(false);
  });

  test.each([
    ["another model's", (p: RoutingPolicy) => ({ ...p, modelDigest: "f".repeat(64) }), "policy is for model"],
    ["other labels", (p: RoutingPolicy) => ({ ...p, labels: [...p.labels].reverse() }), "labels"],
    ["a share above 1", (p: RoutingPolicy) => ({ ...p, escalationShareMax: 1.5 }), "escalationShareMax"],
  ])("R1: %s is refused and changes nothing", (_, change, message) => {
    const keeper = keeperOf();
    const before = keeper.policy;
    const bytes = RoutingPolicy.encodeSingleObject(change(before));
    expect(() => keeper.apply(bytes, "downlink")).toThrow(message);
    expect(keeper.policy).toBe(before);
  });

  test("bytes that are no policy are refused", () => {
    expect(() => keeperOf().apply(Buffer.from("{}"), "downlink")).toThrow("single-object");
  });
});
