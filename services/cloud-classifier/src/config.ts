/** Configuration of the classifier. A backend's keys stand in `backends/*-config.ts`, those of all in `call-settings.ts`. */
import { ConfigError, sharedBlocks } from "@tributary/config";
import { packageBlocks, problemsOfPackages } from "@tributary/followed-packages";
import { z } from "zod";
import { onnxKeys } from "./backends/onnx-config.ts";
import { kserveKeys, tfServingKeys } from "./backends/remote-config.ts";
import { sagemakerKeys } from "./backends/sagemaker-config.ts";
import { callSettings, positive } from "./call-settings.ts";
import { problemsOfRoutes } from "./routes.ts";

const targetName = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/, "expected a target name");

// A local model fails with its child process: a retry costs nothing.
const local = callSettings({ batchMax: 16, callsMax: 1, retryShareMax: 1 });
const remote = callSettings({ batchMax: 16, callsMax: 8, retryShareMax: 0.1 });
const sagemaker = callSettings({ batchMax: 1, callsMax: 16, retryShareMax: 0.1 });

const target = z.discriminatedUnion("backend", [
  z.strictObject({ ...onnxKeys, ...local }),
  z.strictObject({ ...kserveKeys, ...remote }),
  z
    .strictObject({ ...tfServingKeys, ...remote })
    .refine(
      ({ version, versionLabel }) => version === undefined || versionLabel === undefined,
      "version and versionLabel exclude each other",
    ),
  z
    .strictObject({ ...sagemakerKeys, ...sagemaker })
    .refine(({ body, batchMax }) => body === "json" || batchMax === 1, "batchMax: a jpeg body holds one frame"),
]);

const armName = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/, "expected an arm's name");

const route = z.strictObject({
  arms: z
    .array(
      z.strictObject({ arm: armName.default("default"), target: targetName, weight: z.number().positive().default(1) }),
    )
    .min(1)
    .max(16),
  /** What the same arm holds together. */
  by: z.enum(["frame", "device"]).default("device"),
  /** Another salt assigns the arms again. */
  salt: z.string().max(256).default(""),
  /** Targets asked in this order when the arm's own does not answer. */
  fallback: z.array(targetName).max(8).default([]),
  /** How long before the deadline each target that has a successor gives up. */
  fallbackReserveMs: positive.max(60_000).default(250),
  /** A target that is asked besides, of whose answers only cloud.shadow.v1 learns. */
  shadow: z.strictObject({ target: targetName, share: z.number().gt(0).max(1).default(1) }).optional(),
});

export const configSchema = z.strictObject({
  ...sharedBlocks,
  ...packageBlocks,
  /** By the name that requests and routing policies call their target, unless a route has it. */
  targets: z
    .record(targetName, target)
    .refine((targets) => Object.keys(targets).length > 0, "expected at least one target"),
  /** Several targets behind one name. */
  routes: z.record(targetName, route).default({}),
  consumer: z
    .strictObject({
      /** Requests in flight, and their bytes (G9): at a bound no more are taken from Kafka. Normal ones leave a quarter to high ones. */
      requestsMax: positive.max(100_000).default(1_024),
      bytesMax: positive.default(128 * 1024 * 1024),
      /** Of both for one device. */
      deviceShareMax: z.number().gt(0).max(1).default(0.25),
    })
    .prefault({}),
});

export type ClassifierConfig = z.output<typeof configSchema>;
export type TargetConfig = ClassifierConfig["targets"][string];

/** Names and bounds against each other. */
export function checkConfig({ targets, routes, ...packages }: ClassifierConfig): void {
  const problems = [...problemsOfRoutes(routes, Object.keys(targets))];
  const named = Object.entries(targets).flatMap(([name, target]) =>
    target.backend === "sagemaker" ? [] : [[`targets.${name}.package`, target.package] as const],
  );
  problems.push(...problemsOfPackages(packages, Object.fromEntries(named)));
  for (const [name, target] of Object.entries(targets)) {
    const { breaker, retry, hedge, callsMax } = target;
    const at = `targets.${name}`;
    const socketsMin = hedge.shareMax > 0 ? 2 * callsMax : callsMax;
    if (target.backend === "sagemaker" && target.socketsMax < socketsMin) {
      problems.push(`${at}.socketsMax: at least ${socketsMin} for ${at}.callsMax`);
    }
    if (breaker.callsMin > breaker.callsSeen) problems.push(`${at}.breaker.callsMin: at most ${at}.breaker.callsSeen`);
    if (breaker.openMs > breaker.openMsMax) problems.push(`${at}.breaker.openMs: at most ${at}.breaker.openMsMax`);
    if (retry.waitMsMin > retry.waitMsMax) problems.push(`${at}.retry.waitMsMin: at most ${at}.retry.waitMsMax`);
  }
  if (problems.length > 0) throw new ConfigError("configuration", problems);
}
