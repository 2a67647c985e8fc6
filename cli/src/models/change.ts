/** Changes of listed versions by people: aliases, revoking, repeating the gate or forcing it. */
import { Command } from "commander";
import type { Io } from "../context.ts";
import { CliError, exitCodes } from "../exit-codes.ts";
import { WAIT, waitForGate } from "./gate-wait.ts";
import {
  type ModelVersion,
  modelApiOf,
  modelRegistryOf,
  referenceOf,
  versionIn,
  withBy,
  withModelRegistry,
} from "./model-api.ts";

type AliasOptions = { readonly remove?: true; readonly by: string; readonly wait?: true };

export const modelsAliasCommand = (io: Io): Command =>
  withBy(withModelRegistry(new Command("alias")), io)
    .description("give a version an alias: the champion runs, the challenger is evaluated and rolled out")
    .argument("<model>", "NAME@VERSION, NAME@ALIAS or a digest; with --remove, NAME")
    .argument("<alias>", "e.g. champion, challenger; another version loses it")
    .option("--remove", "remove the alias instead")
    .option("--wait", `with challenger: ${WAIT}`)
    .action(async (model: string, alias: string, options: AliasOptions, command: Command) => {
      const { models, output } = modelApiOf(command, io);
      if (options.wait) {
        modelRegistryOf(command, io); // The gateway does not know how far a gate is.
        if (alias !== "challenger") throw new CliError(exitCodes.usage, "--wait is for the alias challenger.");
      }
      if (options.remove) {
        const name = model.split("@")[0] ?? model;
        await models.unalias({ name, alias, body: { by: options.by } });
        return output.one({ name, alias, version: null }, name, () =>
          output.line(`No version of ${name} is ${alias}.`),
        );
      }
      const version = versionIn(await models.versions(), model);
      await models.alias({ name: version.name, alias, body: { version: version.version, by: options.by } });
      const done = { name: version.name, alias, version: version.version };
      output.one(done, referenceOf(version), () => output.line(`${referenceOf(version)} is ${alias}.`));
      if (options.wait) await waitForGate(models, version, { output, io });
    });

const at = ({ name, version }: ModelVersion) => ({ name, version });

type Reasoned = { readonly reason: string; readonly by: string };

export const modelsRevokeCommand = (io: Io): Command =>
  withBy(withModelRegistry(new Command("revoke")), io)
    .description(
      "delist a version: no device loads it again; a device that runs it keeps it until its desired state changes",
    )
    .argument("<model>", "NAME@VERSION, NAME@ALIAS or a digest")
    .requiredOption("--reason <TEXT>", "why, for the record")
    .action(async (model: string, { reason, by }: Reasoned, command: Command) => {
      const { models, output } = modelApiOf(command, io);
      const version = versionIn(await models.versions(), model);
      await models.revoke({ ...at(version), body: { by, reason } });
      const done = { name: version.name, version: version.version, state: "REVOKED", by, reason };
      output.one(done, referenceOf(version), () => output.line(`${referenceOf(version)} is revoked.`));
    });

export const modelsJudgeCommand = (io: Io): Command =>
  withBy(withModelRegistry(new Command("judge")), io)
    .description("repeat the gate of a challenger, e.g. on other validation frames")
    .argument("<model>", "NAME@VERSION, NAME@ALIAS or a digest; it must be the challenger")
    .action(async (model: string, { by }: { by: string }, command: Command) => {
      const { models, output } = modelApiOf(command, io);
      const version = versionIn(await models.versions(), model);
      await models.judge({ ...at(version), body: { by } });
      const done = { name: version.name, version: version.version, by };
      const called = referenceOf(version);
      output.one(done, called, () =>
        output.line(
          `${called} will be evaluated again. See its progress: tributary models describe ${called} --registry URL`,
        ),
      );
    });

export const modelsForceCommand = (io: Io): Command =>
  withBy(withModelRegistry(new Command("force")), io)
    .description("override the gate that a version failed; its record gets your name and reason")
    .argument("<model>", "NAME@VERSION, NAME@ALIAS or a digest")
    .requiredOption("--reason <TEXT>", "why, for the record")
    .action(async (model: string, { reason, by }: Reasoned, command: Command) => {
      const { models, output } = modelApiOf(command, io);
      const version = versionIn(await models.versions(), model);
      if (version.gate?.passed) {
        throw new CliError(exitCodes.failed, `${referenceOf(version)} passed the gate; there is nothing to force.`);
      }
      await models.force({ ...at(version), body: { by, reason } });
      const done = { name: version.name, version: version.version, by, reason };
      output.one(done, referenceOf(version), () => output.line(`${by} overrides the gate of ${referenceOf(version)}.`));
    });
