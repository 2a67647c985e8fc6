/** The command tree. */
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { Command, Option } from "commander";
import { completeCommand, completionCommand } from "./commands/completion.ts";
import { datasetsCommand } from "./commands/datasets.ts";
import { describeDevice, devicesCommand, getDevices } from "./commands/devices.ts";
import { dlqCommand } from "./commands/dlq.ts";
import { doctorCommand } from "./commands/doctor.ts";
import { driftCommand } from "./commands/drift.ts";
import { experimentCommand } from "./commands/experiments.ts";
import { routerCommand } from "./commands/explain.ts";
import { framesCommand } from "./commands/frames.ts";
import { labelsCommand } from "./commands/labels.ts";
import { describeModel, describeModelToo, getModels, listModels } from "./commands/models.ts";
import { describePolicy, getPolicies, policyCommand } from "./commands/policies.ts";
import { rolloutCommand } from "./commands/rollouts.ts";
import { schemasCommand } from "./commands/schemas.ts";
import { describeTopic, getTopics } from "./commands/topics.ts";
import { trainCommand } from "./commands/train.ts";
import type { Io } from "./context.ts";
import { formats } from "./output.ts";
import { topicsCommand } from "./topics.ts";
import { worldCommand } from "./world/world-command.ts";

/** The launcher of this program in a clone, built or not. */
const LAUNCHER = fileURLToPath(new URL("../tributary.mjs", import.meta.url));

const EPILOGUE = `
Exit codes:
  0  done
  1  failed
  2  wrong usage
  3  not found
  4  the gateway, Kafka or the cluster cannot be reached
  5  done in part: some items were refused, each is named on stderr
  6  rollout status --exit-code: the rollout is Degraded; experiment status --exit-code: it ended without a verdict;
     drift list --exit-code: there is a verdict that nobody knows of; train status -w: the training ended without a champion

Environment: TRIBUTARY_GATEWAY, TRIBUTARY_TOKEN, TRIBUTARY_MODEL_REGISTRY, TRIBUTARY_MODEL_REGISTRY_TOKEN,
  TRIBUTARY_FRAME_ARCHIVE, TRIBUTARY_FRAME_ARCHIVE_TOKEN, TRIBUTARY_TRAINER, TRIBUTARY_TRAINER_TOKEN, TRIBUTARY_BROKERS,
  TRIBUTARY_PREFIX, NO_COLOR

On the PATH: ln -sf ${LAUNCHER} ~/.local/bin/tributary`;

const { version } = createRequire(import.meta.url)("../package.json") as { version: string };

export async function programOf(argv: readonly string[], io: Io): Promise<Command> {
  const program = new Command("tributary")
    .description("Inspects and manages a Tributary deployment through its gateway.")
    .addOption(new Option("--gateway <URL>", "the gateway").env("TRIBUTARY_GATEWAY").default("http://127.0.0.1:8080"))
    .addOption(new Option("--token <TOKEN>", "bearer token, if the gateway requires one").env("TRIBUTARY_TOKEN"))
    .option("--no-color", "plain text")
    .addHelpText("after", EPILOGUE);
  // A report and an export have one format, and their -o names the file.
  const command = wordsOf(argv).slice(0, 2).join(" ");
  if (!/^(rollouts? report|experiments? report|train report|drift (report|export))$/.test(command)) {
    program.addOption(new Option("-o, --output <FORMAT>", "how to show results").choices(formats).default("table"));
  }
  program
    .command("get")
    .description("list devices, policies, models or topics")
    .addCommand(getDevices(io))
    .addCommand(getPolicies(io))
    .addCommand(getModels(io))
    .addCommand(getTopics(io));
  program
    .command("describe")
    .description("show one of them in full")
    .addCommand(describeDevice(io))
    .addCommand(describePolicy(io))
    .addCommand(describeModel(io))
    .addCommand(describeTopic(io));
  program
    .addCommand(devicesCommand(io))
    .addCommand(framesCommand(io))
    .addCommand(labelsCommand(io))
    .addCommand(rolloutCommand(io))
    .addCommand(experimentCommand(io))
    .addCommand(policyCommand(io))
    .addCommand(driftCommand(io))
    .addCommand(trainCommand(io))
    .addCommand(datasetsCommand(io))
    .addCommand(worldCommand(io))
    .addCommand(routerCommand(io))
    .addCommand(topicsCommand(io))
    .addCommand(dlqCommand(io))
    .addCommand(schemasCommand(io))
    .addCommand(doctorCommand(io, version))
    .addCommand(completionCommand(io))
    .addCommand(completeCommand(program, io), { hidden: true });
  const models = program.command("models").description("make, evaluate, push and list model packages");
  const validation = program
    .command("validation")
    .description("the frames on which a model's challengers are evaluated");
  // It loads the model runtime, which other commands should not wait for.
  const before = argv.slice(0, 1 + Math.max(argv.indexOf("models"), argv.indexOf("validation")));
  if (before.length > 0 && !before.includes("get") && !before.includes("describe")) {
    const more = await import("./models/index.ts");
    validation
      .addCommand(more.validationPushCommand(io))
      .addCommand(more.validationListCommand(io))
      .addCommand(more.validationDescribeCommand(io));
    models
      .addCommand(more.modelsPackCommand(io))
      .addCommand(more.modelsGateCommand(io))
      .addCommand(more.modelsPushCommand(io))
      .addCommand(listModels(io))
      .addCommand(describeModelToo(io))
      .addCommand(more.modelsVerifyCommand(io))
      .addCommand(more.modelsDiffCommand(io))
      .addCommand(more.modelsAliasCommand(io))
      .addCommand(more.modelsRevokeCommand(io))
      .addCommand(more.modelsJudgeCommand(io))
      .addCommand(more.modelsForceCommand(io))
      .addCommand(more.modelsKeysCommand(io));
  }
  return program;
}

/** The arguments without the global options and their values: the command first. */
function wordsOf(argv: readonly string[]): readonly string[] {
  const withValue = ["--gateway", "--token", "-o", "--output"];
  return argv.filter((word, i) => !word.startsWith("-") && !withValue.includes(argv[i - 1] ?? ""));
}

/** Global options also apply to commands added later. */
export function inheritAll(command: Command, settings: (command: Command) => void): void {
  settings(command);
  for (const inner of command.commands) inheritAll(inner, settings);
}
