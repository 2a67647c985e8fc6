/** `get|describe policies`: those in force, and with --versions those that experiments can name; `policy push` adds to these. */
import type { Policy, PolicyFields, PolicyVersion } from "@tributary/api";
import { Command } from "commander";
import { type Context, contextOf, type Io, personOf } from "../context.ts";
import { CliError, exitCodes } from "../exit-codes.ts";
import { referenceOf, versionIn } from "../models/model-api.ts";
import { type Output, short, shown, type View } from "../output.ts";
import { watchable, watched } from "../watch.ts";
import { readSpecFile } from "./lint.ts";

/** The gateway's limit. */
const VERSIONS_MAX = 1_000;

const view: View<Policy> = {
  name: (policy) => policy.key,
  columns: [
    { head: "MODEL", of: (p) => short(p.modelDigest) },
    { head: "TARGET", of: (p) => p.cloudTarget },
    { head: "VERSION", of: (p) => short(p.policyVersion) },
    { head: "SCORE MIN", of: (p) => p.scoreMin },
    { head: "SHARE MAX", of: (p) => p.escalationShareMax },
    { head: "DEADLINE", of: (p) => `${p.deadlineMs} ms` },
    { head: "LOSS AT MOST", of: (p) => p.guarantee.epsilon },
    { head: "CREATED", of: (p) => p.createdAt, wide: true },
    { head: "KEY", of: (p) => p.key, wide: true },
  ],
};

const versionView: View<PolicyVersion> = {
  name: (policy) => policy.policyVersion,
  columns: [...view.columns, { head: "IN FORCE", of: (p) => (p.inForce ? "yes" : "no") }],
};

export const getPolicies = (io: Io): Command =>
  watchable(new Command("policies"))
    .alias("policy")
    .description("the current routing policies")
    .option("--versions", "also those that experiments can name, newest first")
    .addHelpText("after", "\nFor example: tributary get policies --versions")
    .action(({ versions }: { versions?: boolean }, command: Command) =>
      watched(command, io, async ({ gateway, output }) => {
        if (versions) {
          const { items } = await gateway.policies.versions({ limit: VERSIONS_MAX });
          output.list(items, versionView, "No policies: none is in force, and none was pushed.");
          return;
        }
        const { items } = await gateway.policies.list();
        output.list(items, view, "No policies: no router has published one yet.");
      }),
    );

export const describePolicy = (io: Io): Command =>
  new Command("policy")
    .alias("policies")
    .argument("<key>", "modelDigest|cloudTarget, or its prefix; or a version, or its prefix")
    .description("one routing policy in full")
    .action(async (key: string, _options: object, command: Command) => {
      const { gateway, output } = contextOf(command, io);
      const policy = await described(gateway, key);
      output.one(policy, policy.key, () => showPolicy(policy, output));
    });

export function policyCommand(io: Io): Command {
  const command = new Command("policy").alias("policies").description("routing policies for experiments");
  command
    .command("push")
    .description("store a policy that an experiment can name; no device decides by it before")
    .requiredOption(
      "-f, --file <FILE>",
      "JSON, as a package's policy.json, or as describe policy -o json; - reads stdin",
    )
    .requiredOption(
      "--model <MODEL>",
      "the edge model that it is for: NAME@VERSION, NAME@ALIAS, a digest or its prefix",
    )
    .addHelpText("after", "\nFor example: tributary policy push -f stricter.json --model edge@2.1.0")
    .action((options: { file: string; model: string }, own: Command) => push(contextOf(own, io), options));
  return command;
}

async function push({ gateway, output, io }: Context, { file, model }: { file: string; model: string }): Promise<void> {
  const policy = objectOf(file, await readSpecFile(file));
  const { items } = await gateway.models.list();
  const versions = items.flatMap((one) => one.versions);
  const version = versionIn(versions, model);
  const { modelDigest } = version;
  const pushed = await gateway.policies.push({ body: { policy, modelDigest, by: personOf(io) } });
  const { policyVersion } = pushed;
  output.one(pushed, policyVersion, () => {
    output.line(`Policy ${policyVersion} for ${referenceOf(version)} is stored. In an experiment:`);
    output.line(`  - { name: ARM, policy: ${short(policyVersion)} }`);
  });
}

function objectOf(file: string, text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch {
    // Reported below, as any other text that is no object.
  }
  throw new CliError(exitCodes.failed, `${file} is no JSON object: a policy is one, as a package's policy.json.`);
}

/** One in force by its key, or else any by its version. */
async function described({ policies }: Context["gateway"], wanted: string): Promise<Policy> {
  const inForce = onlyOne((await policies.list()).items, wanted, ({ key }) => key);
  if (inForce !== undefined) return inForce;
  const { items } = await policies.versions({ limit: VERSIONS_MAX });
  const found = onlyOne(items, wanted, ({ policyVersion }) => policyVersion);
  if (found !== undefined) return found;
  const see = "See: tributary get policies --versions -o wide";
  throw new CliError(exitCodes.notFound, `No policy's key or version starts with "${wanted}". ${see}`);
}

function onlyOne<P extends Policy>(policies: readonly P[], wanted: string, nameOf: (policy: P) => string) {
  const exact = policies.find((policy) => nameOf(policy) === wanted);
  const [found, ...others] = exact === undefined ? policies.filter((p) => nameOf(p).startsWith(wanted)) : [exact];
  if (found === undefined || others.length === 0) return found;
  const all = [found, ...others].map((policy) => `  ${nameOf(policy)}`).join("\n");
  throw new CliError(exitCodes.usage, `"${wanted}" is the prefix of several:\n${all}`);
}

export function showPolicy(policy: PolicyFields, output: Output, indent = ""): void {
  const { guarantee } = policy;
  output.pairs(
    [
      ["Model", policy.modelDigest],
      ["Cloud target", policy.cloudTarget],
      ["Version", policy.policyVersion],
      ["Created", policy.createdAt],
      ["Temperature", policy.temperature],
      ["Score", `sent as AMBIGUOUS above ${shown(policy.scoreMin)}`],
      ["P(edge right)", logistic(policy.edgeRight, policy.features)],
      ["P(cloud right)", logistic(policy.cloudRight, policy.features)],
      [
        "Priority labels",
        policy.priorityLabels.map((rule) => `${rule.label} from ${shown(rule.confidenceMin)}`).join("; ") || "none",
      ],
      [
        "Sample",
        `pi at least ${shown(policy.samplePropensityMin)}, budget ${shown(policy.sampleBudget)}, mean uncertainty ${shown(policy.sampleUncertaintyMean)}`,
      ],
      [
        "Bucket",
        `${shown(policy.escalationShareMax)} of frames, burst ${policy.burstMs} ms, ${shown(policy.priorityReserve)} reserved for priority`,
      ],
      ["Deadline", `${policy.deadlineMs} ms from capture`],
      [
        "Guarantee",
        `${guarantee.method}: loss rate at most ${shown(guarantee.epsilon)} with probability ${shown(1 - guarantee.delta)}; ${guarantee.losses} of ${guarantee.n} frames with a known truth, ${shown(guarantee.escalationShare)} sent`,
      ],
    ],
    indent,
  );
}

const logistic = (model: PolicyFields["edgeRight"], features: readonly string[]): string =>
  [`bias ${shown(model.bias)}`, ...features.map((feature, i) => `${feature} x ${shown(model.weights[i])}`)].join(" + ");
