import { describe, expect, test } from "@jest/globals";
import { ConfigError, parseConfig } from "@tributary/config";
import { checkConfig, configSchema } from "./config.ts";
import { planOf, type Route } from "./routes.ts";

const route: Route = {
  arms: [
    { arm: "a", target: "blue", weight: 9 },
    { arm: "b", target: "green", weight: 1 },
  ],
  by: "device",
  salt: "s",
  fallback: ["local", "blue"],
  fallbackReserveMs: 100,
  shadow: { target: "next", share: 0.25 },
};
const asked = (i: number, more = {}) => ({
  target: "default",
  arm: "default",
  deviceId: `d${i % 1_000}`,
  frameId: `d${i % 1_000}:1:c:${i}`,
  ...more,
});
const planned = (change: Partial<Route>, more = {}) =>
  Array.from({ length: 10_000 }, (_, i) => planOf({ ...route, ...change }, asked(i, more)));
const shareOf = (plans: readonly { arm: string }[], arm: string) =>
  plans.filter((plan) => plan.arm === arm).length / plans.length;

describe("a plan", () => {
  test("of a name that is no route is the target of that name", () => {
    expect(planOf(undefined, asked(1, { arm: "x" }))).toEqual({ arm: "x", targets: ["default"], shadow: null });
  });

  test("draws arms by weight, the same for a device always, others under another salt", () => {
    const plans = planned({});
    expect(shareOf(plans, "b")).toBeGreaterThan(0.07);
    expect(shareOf(plans, "b")).toBeLessThan(0.13);
    expect(plans.slice(0, 1_000).map(({ arm }) => arm)).toEqual(plans.slice(1_000, 2_000).map(({ arm }) => arm));
    expect(planned({ salt: "t" }).map(({ arm }) => arm)).not.toEqual(plans.map(({ arm }) => arm));
    const byFrame = planned({ by: "frame" });
    expect(Math.abs(shareOf(byFrame, "b") - 0.1)).toBeLessThan(0.015);
    expect(byFrame.slice(0, 1_000).map(({ arm }) => arm)).not.toEqual(
      byFrame.slice(1_000, 2_000).map(({ arm }) => arm),
    );
  });

  test("obeys the request's arm where the route has it, and leaves the arms of others alone", () => {
    expect(shareOf(planned({}, { arm: "b" }), "b")).toBe(1);
    const others = planned({}, { arm: "canary" });
    expect(shareOf(others, "canary")).toBe(1);
    expect(new Set(others.map(({ targets }) => targets[0]))).toEqual(new Set(["blue"]));
    expect(shareOf(planned({ arms: [{ arm: "default", target: "blue", weight: 1 }] }), "default")).toBe(1);
  });

  test("has the fallbacks behind the arm's target, each once, and a shadow for its share", () => {
    expect(planOf(route, asked(1, { arm: "a" })).targets).toEqual(["blue", "local"]);
    expect(planOf(route, asked(1, { arm: "b" })).targets).toEqual(["green", "local", "blue"]);
    const shadowed = planned({}).filter(({ shadow }) => shadow === "next").length / 10_000;
    expect(Math.abs(shadowed - 0.25)).toBeLessThan(0.02);
  });
});

test("everything that is wrong with targets and routes is reported at once", () => {
  const problems = (text: string): readonly string[] => {
    try {
      checkConfig(parseConfig({ schema: configSchema, file: "f.yaml", text, env: {} }));
    } catch (error) {
      if (error instanceof ConfigError) return error.problems;
      throw error;
    }
    return [];
  };
  const sagemaker = "backend: sagemaker, endpoint: e, region: eu-central-1, labels: l.json";
  expect(
    problems(`
targets:
  local: { backend: onnx, package: p, breaker: { callsMin: 50 } }
  cloud: { ${sagemaker}, retry: { waitMsMin: 5000 }, callsMax: 40, hedge: { shareMax: 0.05 } }
routes:
  default:
    arms: [{ target: local }, { target: nowhere }]
    fallback: [cloud]
    shadow: { target: cloud }
`),
  ).toEqual([
    'routes.default.arms[1].target: "nowhere" is no target (known: local, cloud)',
    "routes.default.arms: two of one name",
    'routes.default.shadow.target: "cloud" answers already',
    "targets.local.breaker.callsMin: at most targets.local.breaker.callsSeen",
    "targets.cloud.socketsMax: at least 80 for targets.cloud.callsMax",
    "targets.cloud.retry.waitMsMin: at most targets.cloud.retry.waitMsMax",
  ]);
  expect(problems(`targets: { cloud: { ${sagemaker}, batchMax: 4 } }`)).toEqual([
    "targets.cloud: batchMax: a jpeg body holds one frame",
  ]);
  expect(problems("targets: { cloud: { backend: sagemaker, endpoints: e } }")).toEqual(
    expect.arrayContaining([
      expect.stringContaining("targets.cloud.endpoint: missing"),
      expect.stringContaining("targets.cloud.endpoints: unknown key"),
    ]),
  );
});
