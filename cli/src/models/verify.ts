/** `tributary models verify`: makes a device's checks, and runs the golden frames, on this machine. */
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { Failure, reasonOf, systemClock } from "@tributary/kernel";
import { runTask } from "@tributary/model-packaging";
import { checkPackage } from "@tributary/model-store";
import { httpFetcher, openTrust } from "@tributary/tuf";
import { Command } from "commander";
import { type Io, outputOf } from "../context.ts";
import { CliError, exitCodes } from "../exit-codes.ts";
import type { ModelRegistry } from "../gateway.ts";
import { wholeFrom } from "../numbers.ts";
import type { View } from "../output.ts";
import { fetchPackage, withScratch } from "./fetched.ts";
import { modelApiOf, modelRegistryOf, versionIn, withModelRegistry } from "./model-api.ts";

type Check = { readonly check: string; readonly verdict: "passed" | "failed" | "skipped"; readonly found: string };

const view: View<Check> = {
  name: ({ check }) => check,
  columns: [
    { head: "CHECK", of: ({ check }) => check },
    { head: "VERDICT", of: ({ verdict }) => (verdict === "failed" ? "FAILED" : verdict) },
    { head: "FOUND", of: ({ found }) => found },
  ],
};
const EXAMINE_MS_MAX = 600_000;
const REFRESH_MS_MAX = 60_000;

export const modelsVerifyCommand = (io: Io): Command =>
  withModelRegistry(new Command("verify"))
    .description("check a package's bytes, its signed listing, and that this machine reproduces its golden frames")
    .argument("<model>", "folder of a package, or NAME@VERSION, NAME@ALIAS or a digest of the registry")
    .option("--root <FILE>", "trusted root.json (default: the registry's first one)")
    .option("--threads <N>", "threads of the model", wholeFrom(1), 1)
    .addHelpText("after", "\nExit code 1: a check failed.")
    .action(async (model: string, options: { root?: string; threads: number }, command: Command) => {
      const output = outputOf(command, io);
      const root = options.root === undefined ? undefined : await rootOf(options.root);
      const isFolder = await stat(model).then(
        (found) => found.isDirectory(),
        () => false,
      );
      const checks = isFolder
        ? await verifyFolder(model, hasRegistry(command) ? modelRegistryOf(command, io) : undefined, {
            ...options,
            root,
          })
        : await withScratch(async (scratch) => {
            const { models } = modelApiOf(command, io);
            const registry = modelRegistryOf(command, io);
            const version = versionIn(await models.versions(), model);
            const dir = join(scratch, "package");
            await fetchPackage(registry, version.modelDigest, dir, io);
            return verifyFolder(dir, registry, { ...options, root }, version.modelDigest);
          });
      output.list(checks, view, "nothing was checked");
      const failed = checks.filter(({ verdict }) => verdict === "failed");
      if (failed.length > 0) {
        throw new CliError(exitCodes.failed, `${model}: ${failed.map(({ check }) => check).join(", ")} failed`);
      }
    });

type Root = { readonly file: string; readonly bytes: Uint8Array };

const rootOf = async (file: string): Promise<Root> => {
  const bytes = await readFile(file).catch((error: unknown) => {
    throw new CliError(exitCodes.usage, `--root ${file} cannot be read: ${reasonOf(error)}`);
  });
  return { file, bytes };
};

const hasRegistry = (command: Command): boolean => command.optsWithGlobals().registry !== undefined;

async function verifyFolder(
  dir: string,
  registry: ModelRegistry | undefined,
  options: { readonly root: Root | undefined; readonly threads: number },
  wanted?: string,
): Promise<Check[]> {
  const checks: Check[] = [];
  const check = async (name: string, work: () => Promise<string>): Promise<boolean> => {
    try {
      checks.push({ check: name, verdict: "passed", found: await work() });
      return true;
    } catch (error) {
      if (error instanceof CliError || !(error instanceof Failure)) throw error;
      checks.push({ check: name, verdict: "failed", found: `${reasonOf(error)} (${error.code})` });
      return false;
    }
  };
  let digest = "";
  const isWhole = await check("digest", async () => {
    const pkg = await checkPackage(dir, wanted === undefined ? {} : { digest: wanted });
    digest = pkg.digest;
    return `${digest}, ${Object.keys(pkg.manifest.files).length} files match the manifest`;
  });
  if (registry === undefined) {
    checks.push({ check: "signature", verdict: "skipped", found: "no --registry for signed metadata" });
  } else if (isWhole) {
    await check("signature", () => listing(registry, digest, options.root));
  }
  if (isWhole) {
    await check("golden frames", async () => {
      const { manifest } = await checkPackage(dir);
      // Its latency is not checked: the package may be for other hardware.
      const hardwareClasses = { [manifest.hardwareClass]: 0 };
      const settings = { hardwareClasses, packageBytesMax: Number.MAX_SAFE_INTEGER, threads: options.threads };
      const found = await runTask({ kind: "examine", dir, settings }, { msMax: EXAMINE_MS_MAX });
      if (found.kind === "world") return `none: a world model of ${found.cells} cells`;
      const { golden, latency } = found;
      const exact = `${golden.equal} to the bit, ${golden.withinBand} within 2 of 255`;
      return `all ${golden.frames}: ${exact}; ${latency.p95Ms.toFixed(1)} ms a frame here (p95)`;
    });
  }
  return checks;
}

/** As a device checks it: only what the root's keys signed is trusted. */
async function listing(registry: ModelRegistry, digest: string, root: Root | undefined): Promise<string> {
  const rootBytes = root?.bytes ?? (await registry.tuf.get({ file: "1.root.json" }));
  return withScratch(async (dir) => {
    const trust = await openTrust({
      dir,
      rootBytes,
      metadataUrl: registry.urlOf("tuf"),
      fetcher: httpFetcher(),
      clock: systemClock,
    });
    await trust.refresh(AbortSignal.timeout(REFRESH_MS_MAX));
    const listed = trust.listed(digest);
    if (listed === undefined) {
      throw new Failure("model-unlisted", "give-up", "signed metadata does not list it: no device would load it");
    }
    const { rootVersion, expiresAt } = trust.state();
    const until = expiresAt === undefined ? "" : ` until ${new Date(expiresAt).toISOString()}`;
    const whose = root?.file ?? "the registry's own root, as --root is not given";
    return `listed as ${listed.name} ${listed.version}, signed under root ${rootVersion}${until}; trusting ${whose}`;
  });
}
