import type { Policy, PolicyFields } from "@tributary/api";
import { Command } from "commander";
import { contextOf, type Io } from "../context.ts";
import { CliError, exitCodes } from "../exit-codes.ts";
import { type Output, short, shown, type View } from "../output.ts";
import { watchable, watched } from "../watch.ts";

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

export const getPolicies = (io: Io): Command =>
  watchable(new Command("policies"))
    .alias("policy")
    .description("the current routing policies")
    .action((_options: object, command: Command) =>
      watched(command, io, async ({ gateway, output }) => {
        const { items } = await gateway.policies.list();
        output.list(items, view, "No policies: no router has published one yet.");
      }),
    );

export const describePolicy = (io: Io): Command =>
  new Command("policy")
    .alias("policies")
    .argument("<key>", "modelDigest|cloudTarget, or its prefix")
    .description("one routing policy in full")
    .action(async (key: string, _options: object, command: Command) => {
      const { gateway, output } = contextOf(command, io);
      const { items } = await gateway.policies.list();
      const policy = onlyOne(items, key);
      output.one(policy, policy.key, () => showPolicy(policy, output));
    });

function onlyOne(policies: readonly Policy[], key: string): Policy {
  const exact = policies.find((policy) => policy.key === key);
  const [found, ...others] = exact === undefined ? policies.filter((p) => p.key.startsWith(key)) : [exact];
  if (found === undefined) {
    throw new CliError(exitCodes.notFound, `No policy's key starts with "${key}". See: tributary get policies -o name`);
  }
  if (others.length > 0) {
    const keys = [found, ...others].map((policy) => `  ${policy.key}`).join("\n");
    throw new CliError(exitCodes.usage, `"${key}" is the prefix of several keys:\n${keys}`);
  }
  return found;
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
