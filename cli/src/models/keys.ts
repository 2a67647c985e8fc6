/** `tributary models keys`: the ceremonies around the registry's signing keys. Works on files; nothing is sent anywhere. */
import { readFile } from "node:fs/promises";
import { Failure, reasonOf } from "@tributary/kernel";
import { initKeys, prepareRotation, publishPrepared, signPrepared } from "@tributary/model-packaging";
import { type OnlineRole, onlineRoles } from "@tributary/tuf/repository";
import { Command, Option } from "commander";
import { positive } from "../commands/options.ts";
import { type Io, outputOf } from "../context.ts";

type Passphrase = { readonly passphraseFile?: string };

const withPassphrase = (command: Command): Command =>
  command.option("--passphrase-file <FILE>", "its first line decrypts the root keys");

export function modelsKeysCommand(io: Io): Command {
  const keys = new Command("keys").description("create and rotate the keys that sign models for devices");
  addInit(keys, io);
  addRotate(keys, io);
  withPassphrase(keys.command("sign"))
    .description("add a holder's signature to a prepared root")
    .argument("<file>", "N.root.json")
    .requiredOption("--key <FILE...>", "root keys")
    .action(async (file: string, options: Passphrase & { key: string[] }, command: Command) => {
      const output = outputOf(command, io);
      await signPrepared(file, options.key, await passphraseOf(options));
      output.one({ file, keys: options.key }, file, () =>
        output.line(`${file} is signed by ${options.key.join(", ")}.`),
      );
    });
  keys
    .command("publish")
    .description("put a prepared root into effect once enough holders signed it")
    .argument("<dataDir>", "the registry's dataDir")
    .action(async (dataDir: string, _options: object, command: Command) => {
      const output = outputOf(command, io);
      const rootVersion = await publishPrepared(dataDir);
      output.one({ rootVersion }, `${rootVersion}`, () => output.line(publishedText(rootVersion)));
    });
  return keys;
}

function addInit(keys: Command, io: Io): void {
  withPassphrase(keys.command("init"))
    .description("create all keys and the first root of a registry")
    .argument("<dataDir>", "the registry's dataDir")
    .requiredOption("--offline <DIR>", "folder for the root keys, to be moved offline from there")
    .option("--keys <N>", "root keys", positive, 3)
    .option("--threshold <N>", "how many of them must sign a root", positive, 2)
    .option("--if-missing", "do nothing if there are keys already")
    .addHelpText(
      "after",
      "\nGive devices metadata/1.root.json. Keep the root keys apart from each other, off every server.",
    )
    .action(
      async (
        dataDir: string,
        options: Passphrase & { offline: string; keys: number; threshold: number; ifMissing?: true },
        command: Command,
      ) => {
        const output = outputOf(command, io);
        const passphrase = await passphraseOf(options);
        const { offline: offlineDir, keys, threshold } = options;
        const made = await initKeys({ dataDir, offlineDir, keys, threshold, passphrase, now: io.now() }).catch(
          (error: unknown) => {
            if (options.ifMissing && error instanceof Failure && error.code === "keys-exist") return undefined;
            throw error;
          },
        );
        if (made === undefined) {
          return output.one({ rootVersion: null }, "", () => output.line(`${dataDir} has keys already.`));
        }
        output.one(made, `${made.rootVersion}`, () => {
          output.line(
            `${threshold} of these ${keys} keys must sign a root; store them offline, each in another place:`,
          );
          for (const path of made.rootKeys) output.line(`  ${path}`);
          output.line("The registry signs with:");
          for (const path of made.onlineKeys) output.line(`  ${path}`);
          output.line(`Give devices ${dataDir}/metadata/1.root.json.`);
          if (passphrase === undefined)
            output.line("The root keys are not encrypted; use --passphrase-file to encrypt them.");
        });
      },
    );
}

function addRotate(keys: Command, io: Io): void {
  withPassphrase(keys.command("rotate"))
    .description(
      "prepare new keys under a new root, sign it with the given root keys, and publish it once enough holders signed",
    )
    .argument("<dataDir>", "the registry's dataDir")
    .addOption(
      new Option("--role <ROLE...>", "online keys to replace")
        .choices(onlineRoles)
        .default([...onlineRoles], "all three"),
    )
    .option("--root-public <FILE...>", "public keys of all root holders from now on (default: unchanged)")
    .option("--renew", "keep the online keys: only extend the root's validity, or change its holders")
    .option("--key <FILE...>", "root keys that sign it now")
    .action(
      async (
        dataDir: string,
        options: Passphrase & { role: OnlineRole[]; rootPublic?: string[]; renew?: true; key?: string[] },
        command: Command,
      ) => {
        const output = outputOf(command, io);
        const { rootPublic } = options;
        const roles = options.renew ? [] : options.role;
        const file = await prepareRotation({
          dataDir,
          roles,
          now: io.now(),
          ...(rootPublic && { rootPublicKeys: rootPublic }),
        });
        if (options.key) await signPrepared(file, options.key, await passphraseOf(options));
        const outcome = await publishPrepared(dataDir).catch((error: unknown) => {
          if (error instanceof Failure && error.code === "tuf-root-threshold") return error.message;
          throw error;
        });
        const done = { prepared: file, roles, published: typeof outcome === "number" ? outcome : null };
        output.one(done, file, () => {
          if (typeof outcome === "number") return output.line(publishedText(outcome));
          output.line(`${file} is prepared and needs signatures: ${outcome}`);
          output.line(`Sign it where the keys are:  tributary models keys sign FILE --key KEY`);
          output.line(`Then, back here:             tributary models keys publish ${dataDir}`);
        });
      },
    );
}

const publishedText = (version: number): string =>
  `Root ${version} is in effect. Restart the registry: it then signs everything with the keys of this root.`;

async function passphraseOf({ passphraseFile }: Passphrase): Promise<string | undefined> {
  if (passphraseFile === undefined) return undefined;
  try {
    return (await readFile(passphraseFile, "utf8")).split(/\r?\n/)[0];
  } catch (error) {
    throw new Failure("passphrase-unreadable", "ask-a-person", `--passphrase-file: ${reasonOf(error)}`);
  }
}
