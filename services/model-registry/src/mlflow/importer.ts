/**
 * Imports a model that becomes challenger in MLflow: it is downloaded, packed if it is no package yet, validated as any
 * other, listed, and given the registry's alias. From there on the gate and the rollout proceed by themselves.
 *
 * What was imported once is not imported again, and the registry's alias is given once, so a later change of it holds: a
 * version that was here before gets it only if no alias was changed since it was pushed, as after a crash in between. The
 * outcome is reported once, in the log and in MLflow, until another version has the alias there. While MLflow is unreachable
 * or busy, the next poll tries again.
 *
 * A model is packed on one half of the validation frames and gated on the other. The seed of the halves is the registry's
 * name of the model and is part of the package's lineage: every import of it, and so its champion, was packed on the same
 * half. A name is no identity: what was packed as mlflow-N must have come from the same model and run of MLflow, or N is
 * refused.
 */
import { createReadStream } from "node:fs";
import { stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { BlobStore } from "@tributary/blob-store";
import type { Model } from "@tributary/contracts";
import { type ModelManifest, packageFiles, packageLimits } from "@tributary/inference";
import { type Clock, Failure, reasonOf, repeat } from "@tributary/kernel";
import { type PackOptions, runTask } from "@tributary/model-packaging";
import { loadPackage } from "@tributary/model-store";
import type { ModelTable } from "@tributary/models";
import { Problem } from "@tributary/service-kit";
import type { Telemetry } from "@tributary/telemetry";
import type { RegistryConfig } from "../config.ts";
import { examining, mlflowImported, mlflowImportFailed, mlflowKnown } from "../events.ts";
import { CHALLENGER, CHAMPION } from "../gating/due.ts";
import type { Packages } from "../models/packages.ts";
import type { Registry } from "../models/registry.ts";
import type { ValidationSets } from "../validation/validation-sets.ts";
import { type Artifact, artifactOf } from "./artifact.ts";
import { MlflowClient, type MlflowVersion } from "./client.ts";

export type MlflowImporterOptions = {
  readonly settings: NonNullable<RegistryConfig["mlflow"]>;
  readonly checks: Pick<RegistryConfig["checks"], "packageBytesMax" | "threads" | "hardwareClasses">;
  readonly blobBytesMax: number;
  readonly packMsMax: number;
  readonly validation: Pick<ValidationSets, "withFrames">;
  readonly table: ModelTable;
  readonly packages: Pick<Packages, "withScratch">;
  readonly blobs: BlobStore;
  readonly registry: Pick<Registry, "push" | "alias">;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
};

type Imported = {
  /** The registry's. */
  readonly version: string;
  /** The alias, just now. */
  readonly isGiven: boolean;
};

const BY = "mlflow";
const TAG = "tributary";

export class MlflowImporter {
  readonly #options: MlflowImporterOptions;
  readonly #client: MlflowClient;
  readonly #stop = new AbortController();
  /** By MLflow's name: the version that was handled. */
  readonly #done = new Map<string, string>();
  #ended: Promise<void> = Promise.resolve();

  constructor(options: MlflowImporterOptions) {
    this.#options = options;
    this.#client = new MlflowClient(options.settings);
  }

  start(): void {
    this.#ended = this.#run();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#ended;
  }

  async #run(): Promise<void> {
    const { settings, clock } = this.#options;
    const { signal } = this.#stop;
    const poll = async () => {
      for (const [model, name] of Object.entries(settings.models)) {
        if (!signal.aborted) await this.#poll(model, name);
      }
    };
    await repeat(poll, { clock, everyMs: settings.pollMs, signal });
  }

  async #poll(model: string, name: string): Promise<void> {
    const { table, telemetry } = this.#options;
    const { signal } = this.#stop;
    let found: MlflowVersion | undefined;
    try {
      found = await this.#client.aliased(model, CHALLENGER, signal);
      if (found === undefined || this.#done.get(model) === found.version) return;
      const { version, isGiven } = await this.#import(model, name, found);
      this.#done.set(model, found.version);
      const challenger = table.byAlias(name, CHALLENGER)?.version;
      const isChallenger = isGiven || challenger === version;
      const what = isChallenger ? `challenger ${name}@${version}` : knownText(name, version, challenger);
      const imported = { model, mlflowVersion: found.version, name, version };
      if (isGiven) telemetry.emit(mlflowImported, imported);
      else telemetry.emit(mlflowKnown, { ...imported, what: isChallenger ? `is ${what} since before` : what });
      await this.#mark(model, found.version, what);
    } catch (error) {
      if (signal.aborted) return;
      const { code, advice, message } = failureOf(error);
      telemetry.emit(mlflowImportFailed, { model, code, reason: message });
      if (found === undefined || advice === "retry") return;
      this.#done.set(model, found.version);
      await this.#mark(model, found.version, `refused: ${message} (${code})`);
    }
  }

  async #import(model: string, name: string, found: MlflowVersion): Promise<Imported> {
    const { packages, checks, registry, table } = this.#options;
    const { signal } = this.#stop;
    const packedVersion = `mlflow-${found.version}`;
    const known = table.get(name, packedVersion);
    if (known !== undefined) {
      checkOrigin(known, model, found);
      return this.#challenge(name, packedVersion, known);
    }
    return packages.withScratch(async (scratch) => {
      const files = join(scratch, "files");
      const limits = { filesMax: packageLimits.filesMax, bytesMax: checks.packageBytesMax };
      await this.#client.download(model, found.version, files, limits, signal);
      const artifact = await artifactOf(files);
      const dir = artifact.kind === "package" ? artifact.dir : join(scratch, "package");
      if (artifact.kind === "onnx") {
        const options = await this.#packOptions(name, packedVersion, artifact, scratch, { model, ...found });
        await this.#pack(dir, options);
      }
      const { digest, manifest } = await loadPackage(dir);
      if (manifest.name !== name) {
        const message = `its package is called ${manifest.name}, not ${name}: pack it with --name ${name}, or configure mlflow.models`;
        throw new Failure("mlflow-name-differs", "ask-a-person", message);
      }
      const before = table.byDigest(digest);
      await this.#upload(dir, digest, manifest);
      await registry.push(digest, BY);
      return this.#challenge(name, manifest.version, before);
    });
  }

  async #pack(dir: string, options: Omit<PackOptions, "validation"> & { readonly name: string }): Promise<void> {
    const { validation: sets, telemetry, packMsMax: msMax } = this.#options;
    const { name, version } = options;
    const progress = (line: string) => telemetry.emit(examining, { name, version, line });
    await sets.withFrames(name, (validation) =>
      runTask(
        { kind: "pack", dir, options: { ...options, validation } },
        { msMax, signal: this.#stop.signal, progress },
      ),
    );
  }

  /** Gives the alias once. `before`: the version, where it was here before this poll. */
  async #challenge(name: string, version: string, before: Model | undefined): Promise<Imported> {
    const { table, registry } = this.#options;
    const isGiven = before === undefined || table.aliasesChangedAt(name) < before.pushedAt;
    if (isGiven) await registry.alias(name, CHALLENGER, version, BY);
    return { version, isGiven };
  }

  /** As the champion was packed, where there is one: the model is to replace it. */
  async #packOptions(
    name: string,
    version: string,
    artifact: Extract<Artifact, { kind: "onnx" }>,
    scratch: string,
    origin: MlflowVersion & { readonly model: string },
  ): Promise<Omit<PackOptions, "validation"> & { readonly name: string }> {
    const { table, settings, checks } = this.#options;
    const champion = table.byAlias(name, CHAMPION);
    const lineage = join(scratch, "lineage.json");
    const from = { mlflowModel: origin.model, mlflowVersion: origin.version, mlflowRun: runOf(origin) };
    await writeFile(lineage, JSON.stringify(from));
    const cloud = settings.cloud[name];
    return {
      name,
      version,
      model: artifact.model,
      labels: artifact.labels,
      preprocess: artifact.preprocess,
      splitSeed: name,
      lineage,
      preprocessedBy: (champion?.input ?? "jpeg") as ModelManifest["input"],
      hardwareClass: champion?.hardwareClass ?? Object.keys(checks.hardwareClasses)[0] ?? "generic",
      latencyBudgetMs: champion?.latencyBudgetMs ?? 50,
      threads: checks.threads,
      ...(cloud !== undefined && { cloud }),
    };
  }

  /** Also uploads what is stored already: as it is then recent, the sweep does not remove it before the push. */
  async #upload(dir: string, digest: string, manifest: ModelManifest): Promise<void> {
    const { blobs, blobBytesMax: bytesMax } = this.#options;
    const files: [string, string][] = Object.entries(manifest.files).map(([path, { sha256 }]) => [path, sha256]);
    for (const [path, expected] of [...files, [packageFiles.manifest, digest] as const]) {
      const { size } = await stat(join(dir, path));
      if (size > bytesMax) {
        throw new Failure("blob-too-large", "give-up", `${path} has ${size} bytes, a file may have ${bytesMax} here`);
      }
      await blobs.put(createReadStream(join(dir, path)), { expected, bytesMax });
    }
  }

  async #mark(model: string, version: string, text: string): Promise<void> {
    const { clock } = this.#options;
    const at = new Date(clock.now()).toISOString();
    await this.#client.tag(model, version, TAG, `${text}, ${at}`, this.#stop.signal).catch(() => {});
  }
}

const runOf = ({ runId }: MlflowVersion): string => runId || "none";

/** @throws Failure `mlflow-version-taken` */
function checkOrigin({ name, version, lineage }: Model, model: string, found: MlflowVersion): void {
  const { mlflowModel, mlflowRun } = lineage;
  if (mlflowModel === model && mlflowRun === runOf(found)) return;
  const whose =
    mlflowModel === undefined ? "did not come from MLflow" : `is MLflow's ${mlflowModel} of run ${mlflowRun}`;
  const what = `${name} ${version} is here already and ${whose}, this one is ${model} of run ${runOf(found)}`;
  const message = `${what}: log it as a package with a version of its own (tributary models pack)`;
  throw new Failure("mlflow-version-taken", "ask-a-person", message);
}

function knownText(name: string, version: string, challenger: string | undefined): string {
  const who = challenger === undefined ? "nobody is challenger" : `the challenger is ${name}@${challenger}`;
  const change = `to change that: tributary models alias ${name}@${version} challenger`;
  return `is here since before as ${name}@${version}, ${who}; ${change}`;
}

function failureOf(error: unknown): { readonly code: string; readonly advice: string; readonly message: string } {
  if (error instanceof Problem) {
    const { code, advice, detail } = error.details;
    return { code, advice, message: detail };
  }
  if (error instanceof Failure) return { code: error.code, advice: error.advice, message: error.message };
  return { code: "mlflow-import-failed", advice: "ask-a-person", message: reasonOf(error) };
}
