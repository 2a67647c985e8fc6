/**
 * The versions that may run: lists them, gives aliases, revokes.
 *
 * A version is listed only after its package was validated, and a version's package never changes: pushing the same again
 * returns the same answer, another digest under its name is refused. Changes are made one after the other; there is one
 * registry.
 *
 * R2. Kafka decides. Listing is signed first and then written; revoking is written first and then signed; what a crash left in
 *     between is reconciled at the next start, towards Kafka. So a device never loads what Kafka calls revoked for longer than
 *     a restart takes, and models.v1 never lists what metadata does not name. A revocation that did not complete (a full disk)
 *     is completed when it is asked for again, and by the timer: it is not reported as done before.
 * R4. The blobs of a push in progress, of a package or of validation frames, are held: the sweep asks. Before they are signed
 *     or written, all of them are checked once more, so that nothing is listed without its bytes.
 */
import { type GateOutcome, type Model, type ModelAliases, topics, type ValidationSet } from "@tributary/contracts";
import { isWorld, listedPartOf, packageFiles } from "@tributary/inference";
import type { OutRecord, RecordSink } from "@tributary/kafka";
import { type Clock, type Digest, Failure } from "@tributary/kernel";
import { type Examination, type ExamineSettings, runTask } from "@tributary/model-packaging";
import { type ModelTable, modelKey } from "@tributary/models";
import { Problem } from "@tributary/service-kit";
import type { Telemetry } from "@tributary/telemetry";
import type { TufRepository } from "@tributary/tuf/repository";
import {
  aliasChanged,
  examining,
  gateForced,
  listingReconciled,
  modelListed,
  modelRefused,
  modelRevoked,
} from "../events.ts";
import { CHAMPION, CONTEXT } from "../gating/due.ts";
import type { ListedManifest, Packages } from "./packages.ts";
import { Turns } from "./turns.ts";

export type RegistryOptions = {
  readonly table: ModelTable;
  readonly packages: Pick<Packages, "manifest" | "checkComplete" | "withFolder">;
  readonly tuf: TufRepository;
  readonly sink: RecordSink;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly checks: ExamineSettings & { readonly msMax: number; readonly waitingMax: number };
  /** Something changed that may make a gate due. */
  readonly onChange: () => void;
  readonly signal: AbortSignal;
};

export type Pushed = {
  readonly model: Model;
  /** Null: it was listed before. */
  readonly examination: Examination | null;
};

const ALIASES_MAX = 64;
const CHANGES_WAITING_MAX = 100;

export class Registry {
  readonly #options: RegistryOptions;
  readonly #examinations: Turns;
  readonly #changes = new Turns("changes", CHANGES_WAITING_MAX);
  /** R4: the blobs of each push under way. */
  readonly #held = new Set<ReadonlySet<Digest>>();

  constructor(options: RegistryOptions) {
    this.#options = options;
    this.#examinations = new Turns("packages", options.checks.waitingMax);
  }

  /** R2: makes the signed metadata agree with Kafka, once, before any other change. */
  async reconcile(): Promise<void> {
    const { table, tuf, packages, telemetry } = this.#options;
    const wanted = new Map(
      table.list().flatMap((model) => (model.state === "LISTED" ? [[model.modelDigest, model]] : [])),
    );
    const extra = [...tuf.listed().keys()].filter((digest) => !wanted.has(digest));
    const missing = [...wanted.keys()].filter((digest) => !tuf.listed().has(digest));
    for (const digest of extra) await tuf.delist(digest);
    for (const digest of missing) await this.#sign(await packages.manifest(digest));
    if (extra.length + missing.length > 0) {
      telemetry.emit(listingReconciled, { listed: missing.length, unlisted: extra.length });
    }
    await this.finishRevocations();
  }

  async push(modelDigest: Digest, by: string): Promise<Pushed> {
    const { telemetry } = this.#options;
    try {
      return await this.#push(modelDigest, by);
    } catch (error) {
      if (error instanceof Problem) {
        telemetry.emit(modelRefused, { modelDigest, code: error.details.code, reason: error.details.detail });
      } else if (error instanceof Failure) {
        telemetry.emit(modelRefused, { modelDigest, code: error.code, reason: error.message });
      }
      throw error;
    }
  }

  async #push(modelDigest: Digest, by: string): Promise<Pushed> {
    const { packages } = this.#options;
    const before = this.#known(modelDigest);
    if (before !== undefined) return { model: before, examination: null };
    const listed = await packages.manifest(modelDigest);
    const files = Object.values(listed.manifest.files).map((file) => file.sha256);
    return this.holding([modelDigest, ...files], () => this.#examined(listed, by));
  }

  async #examined(listed: ListedManifest, by: string): Promise<Pushed> {
    const { packages, checks, telemetry, signal } = this.#options;
    const { digest: modelDigest, manifest } = listed;
    const { name, version } = manifest;
    this.#checkFree(listed);
    await packages.checkComplete(listed);
    return this.#examinations.take(async () => {
      const again = this.#known(modelDigest);
      if (again !== undefined) return { model: again, examination: null };
      const progress = (line: string) => telemetry.emit(examining, { name, version, line });
      const examination = await packages.withFolder(listed, (dir) =>
        runTask(
          { kind: "examine", dir, digest: modelDigest, settings: checks },
          { msMax: checks.msMax, signal, progress },
        ),
      );
      return this.#changes.take(async () => {
        this.#checkFree(listed);
        await packages.checkComplete(listed); // R4
        const model = this.#modelOf(listed, examination.labels, by);
        await this.#sign(listed); // R2
        await this.#store([model]);
        telemetry.emit(modelListed, { name, version, modelDigest, by });
        return { model, examination };
      });
    });
  }

  /** R4: keeps the blobs from the sweep while `work` runs. */
  async holding<T>(digests: readonly Digest[], work: () => Promise<T>): Promise<T> {
    const held = new Set(digests);
    this.#held.add(held);
    try {
      return await work();
    } finally {
      this.#held.delete(held);
    }
  }

  /** R4: whether a push in progress needs the blob. */
  holds(digest: Digest): boolean {
    return [...this.#held].some((digests) => digests.has(digest));
  }

  alias(name: string, alias: string, version: string | null, by: string): Promise<void> {
    return this.#changes.take(async () => {
      const { table, telemetry } = this.#options;
      const before = table.aliases(name);
      if (version !== null && this.model(name, version).state !== "LISTED") {
        const detail = `${name} ${version} is revoked: only a listed version can have an alias.`;
        throw new Problem(409, "model-revoked", "give-up", detail);
      }
      if (before[alias] === (version ?? undefined)) return;
      const { [alias]: _, ...others } = before;
      const aliases = version === null ? others : { ...others, [alias]: version };
      if (Object.keys(aliases).length > ALIASES_MAX) {
        const detail = `${name} has ${ALIASES_MAX} aliases already; take one away first.`;
        throw new Problem(409, "aliases-full", "give-up", detail);
      }
      await this.#store([], [this.#aliasesOf(name, aliases, by)]);
      telemetry.emit(aliasChanged, { name, alias, version: version ?? "", by });
    });
  }

  revoke(name: string, version: string, by: string, reason: string): Promise<Model> {
    return this.#changes.take(async () => {
      const before = this.model(name, version);
      if (before.state === "REVOKED") {
        await this.#finishRevocation(before);
        return before;
      }
      const model: Model = { ...before, state: "REVOKED", revoked: { by, reason, at: this.#options.clock.now() } };
      await this.#store([model], this.#withoutAliases(model)); // R2
      await this.#finishRevocation(model);
      return model;
    });
  }

  /** R2: completes the revocations that did not complete. */
  finishRevocations(): Promise<void> {
    return this.#changes.take(async () => {
      for (const model of this.#options.table.list()) {
        if (model.state === "REVOKED") await this.#finishRevocation(model);
      }
    });
  }

  /** A person overrides the gate, with their name in the record. */
  force(name: string, version: string, by: string, reason: string): Promise<Model> {
    return this.#changes.take(async () => {
      const { table, telemetry } = this.#options;
      const before = this.model(name, version);
      const champion = table.byAlias(name, CHAMPION);
      // A version that passed against another champion is not admitted until it is evaluated again, or forced.
      const isOfToday = champion === undefined || before.gate?.championDigest === champion.modelDigest;
      // Unsure checks hold a rollout that would start by itself: a person may start it all the same.
      const isClear = before.gate?.passed === true && before.gate.unsure.length === 0;
      if (before.gate?.forcedBy || (isClear && isOfToday)) return before;
      const gate: GateOutcome = { ...(before.gate ?? this.#unjudged()), forcedBy: by, forcedReason: reason };
      const model = { ...before, gate };
      await this.#store([model]);
      telemetry.emit(gateForced, { name, version, by, reason });
      return model;
    });
  }

  /** What the gate found. A version that somebody forced meanwhile stays forced. */
  judged(name: string, version: string, outcome: GateOutcome): Promise<Model> {
    return this.#changes.take(async () => {
      const before = this.model(name, version);
      const { forcedBy, forcedReason } = before.gate ?? outcome;
      const model = { ...before, gate: { ...outcome, forcedBy, forcedReason } };
      await this.#store([model]);
      return model;
    });
  }

  /** From now on challengers of this name are judged on these frames. Aliases are as they were, and since when. */
  judgeOn(name: string, validation: ValidationSet): Promise<void> {
    return this.#changes.take(async () => {
      const before = this.#options.table.aliasesRecord(name);
      await this.#store([], [{ ...(before ?? { name, aliases: {}, changedBy: "", changedAt: 0 }), validation }]);
    });
  }

  model(name: string, version: string): Model {
    const model = this.#options.table.get(name, version);
    if (model !== undefined) return model;
    const versions = this.#options.table.versions(name);
    const known =
      versions.length > 0
        ? `Its versions are ${versions
            .slice(0, 10)
            .map((other) => other.version)
            .join(", ")}.`
        : "GET /models lists what there is.";
    throw new Problem(404, "model-unknown", "give-up", `There is no model ${name} ${version}. ${known}`);
  }

  /** Resolves when the running changes are over. */
  async idle(): Promise<void> {
    await this.#examinations.idle;
    await this.#changes.idle;
  }

  #known(modelDigest: Digest): Model | undefined {
    const model = this.#options.table.byDigest(modelDigest);
    if (model?.state !== "REVOKED") return model;
    const { by = "", reason = "" } = model.revoked ?? {};
    const detail = `${model.name} ${model.version} was revoked by ${by}: ${reason}. Push another version.`;
    throw new Problem(409, "model-revoked", "give-up", detail);
  }

  /** @throws Problem if another package has this name and version. */
  #checkFree({ digest, manifest }: ListedManifest): void {
    const { name, version } = manifest;
    const other = this.#options.table.get(name, version);
    if (other === undefined || other.modelDigest === digest) return;
    const detail = `${name} ${version} is ${other.modelDigest} already, and a version never changes: pack it with another --version.`;
    throw new Problem(409, "version-taken", "give-up", detail);
  }

  async #sign({ digest, manifest, bytes }: ListedManifest): Promise<void> {
    await this.#options.tuf.list(digest, { ...listedPartOf(manifest), manifestBytes: bytes });
  }

  /** R2: after Kafka has it. Idempotent. */
  async #finishRevocation(model: Model): Promise<void> {
    const { tuf, telemetry } = this.#options;
    const { name, version, modelDigest, revoked } = model;
    const aliases = this.#withoutAliases(model);
    if (aliases.length > 0) await this.#store([], aliases);
    if (!tuf.listed().has(modelDigest)) return;
    await tuf.delist(modelDigest);
    telemetry.emit(modelRevoked, { name, version, by: revoked?.by ?? "", reason: revoked?.reason ?? "" });
  }

  /** Of a version that is revoked: its model's aliases without its own, where it has any. */
  #withoutAliases(model: Model): readonly ModelAliases[] {
    const { table } = this.#options;
    if (table.aliasesOf(model).length === 0) return [];
    const left = Object.entries(table.aliases(model.name)).filter(([, own]) => own !== model.version);
    return [this.#aliasesOf(model.name, Object.fromEntries(left), model.revoked?.by ?? "")];
  }

  async #store(models: readonly Model[], aliases: readonly ModelAliases[] = []): Promise<void> {
    const { sink, table, onChange } = this.#options;
    const records: OutRecord[] = [
      ...models.map((model) => ({
        topic: topics.models.name,
        key: modelKey(model),
        value: topics.models.codec.encodeConfluent(model),
      })),
      ...aliases.map((one) => ({
        topic: topics.modelAliases.name,
        key: one.name,
        value: topics.modelAliases.codec.encodeConfluent(one),
      })),
    ];
    await sink.send(records);
    for (const model of models) table.applyModel(model);
    for (const one of aliases) table.applyAliases(one);
    onChange();
  }

  #modelOf({ digest, manifest }: ListedManifest, labels: readonly string[], by: string): Model {
    const { name, version, hardwareClass, metrics, lineage, files } = manifest;
    // A world model takes a context in place of a picture, and no time.
    const { input, latencyBudgetMs } = isWorld(manifest) ? { input: CONTEXT, latencyBudgetMs: 0 } : manifest;
    return {
      name,
      version,
      modelDigest: digest,
      packageBytes: BigInt(listedPartOf(manifest).packageBytes),
      hardwareClass,
      input,
      labels,
      latencyBudgetMs,
      metrics,
      lineage,
      edge: packageFiles.policy in files,
      state: "LISTED",
      pushedBy: by,
      pushedAt: this.#options.clock.now(),
      gate: null,
      revoked: null,
    };
  }

  #aliasesOf(name: string, aliases: Readonly<Record<string, string>>, by: string): ModelAliases {
    const { table, clock } = this.#options;
    return { name, aliases, changedBy: by, changedAt: clock.now(), validation: table.validation(name) };
  }

  #unjudged(): GateOutcome {
    return {
      passed: false,
      championDigest: "",
      failed: ["it was not judged"],
      unsure: [],
      reportDigest: "",
      pageDigest: "",
      judgedAt: this.#options.clock.now(),
      forcedBy: "",
      forcedReason: "",
      validationDigest: "",
      validationGates: 0,
      sliceDigest: "",
      sliceGates: 0,
    };
  }
}
