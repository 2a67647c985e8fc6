/**
 * Runs the gates that are due, one at a time, each in a process of its own.
 *
 * What is due follows from the table alone (due.ts), so a restarted registry continues where it stopped. A gate that does
 * not finish is retried a few times; then its outcome is that it did not pass.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { Inject, Injectable } from "@nestjs/common";
import type { BlobStore } from "@tributary/blob-store";
import type { GateOutcome, Model } from "@tributary/contracts";
import { type Clock, Failure, reasonOf } from "@tributary/kernel";
import { type DriftedSlice, runTask, slowdownOf } from "@tributary/model-packaging";
import { ModelTable, modelKey } from "@tributary/models";
import { CLOCK, CONFIG, TELEMETRY } from "@tributary/service-kit";
import type { Telemetry } from "@tributary/telemetry";
import { BLOBS } from "../blobs/blobs.controller.ts";
import type { RegistryConfig } from "../config.ts";
import { gateAttemptFailed, gateEnded, gateProgress, gateStarted } from "../events.ts";
import { Packages } from "../models/packages.ts";
import { Registry } from "../models/registry.ts";
import { ValidationSets } from "../validation/validation-sets.ts";
import { automaticOf, gatesBefore } from "./automatic.ts";
import { CONTEXT, type GateNeed, gateNeed } from "./due.ts";

export type Judging =
  | { readonly state: "waiting" | "blocked"; readonly detail: string }
  | { readonly state: "running"; readonly detail: string };

type Due = Extract<GateNeed, { kind: "due" }>;
type Compared = Omit<GateOutcome, "championDigest" | "judgedAt" | "forcedBy" | "forcedReason">;

const FAILED_MAX = 64;
const FAILED_LENGTH_MAX = 1_000;
const REPORT_BYTES_MAX = 8 << 20;
const RETRY_MS = 5_000;

@Injectable()
export class GateRunner {
  readonly #stop = new AbortController();
  readonly #attempts = new Map<string, number>();
  /** Keys of versions whose gate a person asked to repeat. */
  readonly #asked = new Set<string>();
  #wake = Promise.withResolvers<void>();
  #running: { readonly key: string; line: string } | undefined;
  #ended: Promise<void> = Promise.resolve();

  constructor(
    @Inject(CONFIG) private readonly config: RegistryConfig,
    private readonly table: ModelTable,
    private readonly registry: Registry,
    private readonly packages: Packages,
    @Inject(BLOBS) private readonly blobs: BlobStore,
    private readonly validation: ValidationSets,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(TELEMETRY) private readonly telemetry: Telemetry,
  ) {}

  start(): void {
    this.#ended = this.#run();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    this.#wake.resolve();
    await this.#ended;
  }

  /** Something changed: a gate may be due. */
  kick(): void {
    this.#wake.resolve();
  }

  /** Repeats the gate of a challenger. */
  again(model: Model): void {
    this.#asked.add(modelKey(model));
    this.kick();
  }

  /** Of a challenger that is not evaluated yet; undefined for all others. */
  judging(model: Model): Judging | undefined {
    const key = modelKey(model);
    if (this.#running?.key === key) return { state: "running", detail: this.#running.line };
    const need = this.#need(model.name);
    if (need.kind === "none" || modelKey(need.challenger) !== key) return undefined;
    if (need.kind === "blocked") return { state: "blocked", detail: need.why };
    return { state: "waiting", detail: `waits to be compared with ${need.champion.version}` };
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      this.#wake = Promise.withResolvers<void>();
      const due = this.#next();
      if (due === undefined) await this.#wake.promise;
      else await this.#judge(due);
    }
  }

  #next(): Due | undefined {
    for (const name of this.table.names()) {
      const need = this.#need(name);
      if (need.kind === "due") return need;
    }
    return undefined;
  }

  #need(name: string): GateNeed {
    const { table, validation } = this;
    const asked = (model: Model | undefined) => model !== undefined && this.#asked.has(modelKey(model));
    const byAlias = (of: string, alias: string) => {
      const model = table.byAlias(of, alias);
      return alias === "challenger" && asked(model) ? { ...(model as Model), gate: null } : model;
    };
    return gateNeed(name, { byAlias }, (of) => validation.has(of));
  }

  async #judge({ challenger, champion }: Due): Promise<void> {
    const { telemetry, clock, registry } = this;
    const settings = this.config.gate;
    const { name, version } = challenger;
    const key = modelKey(challenger);
    const attempt = `${challenger.modelDigest}:${champion.modelDigest}`;
    this.#running = { key, line: "starts" };
    telemetry.emit(gateStarted, { name, version, champion: champion.version });
    const startedAt = clock.monotonicMs();
    try {
      const compare = challenger.input === CONTEXT ? this.#compareWorlds : this.#compare;
      const compared = await compare.call(this, challenger, champion).catch((error: unknown) => {
        const attempts = (this.#attempts.get(attempt) ?? 0) + 1;
        this.#attempts.set(attempt, attempts);
        const isOver = error instanceof Failure && error.advice !== "retry";
        if (this.#stop.signal.aborted || (!isOver && attempts < settings.attemptsMax)) throw error;
        return this.#unjudgeable(challenger, champion, error);
      });
      const championDigest = champion.modelDigest;
      const judgedAt = clock.now();
      await registry.judged(name, version, { ...compared, championDigest, judgedAt, forcedBy: "", forcedReason: "" });
      this.#attempts.delete(attempt);
      this.#asked.delete(key);
      const outcome = compared.passed ? "passed" : "failed";
      const ms = clock.monotonicMs() - startedAt;
      telemetry.emit(gateEnded, { name, version, outcome, failed: compared.failed.join("; "), ms });
    } catch (error) {
      if (this.#stop.signal.aborted) return;
      const code = error instanceof Failure ? error.code : "gate-troubled";
      telemetry.emit(gateAttemptFailed, { name, version, code, reason: reasonOf(error) });
      await sleep(RETRY_MS, undefined, { signal: this.#stop.signal }).catch(() => {});
    } finally {
      this.#running = undefined;
    }
  }

  /** What can be known before the road: both are of the same classes. Each device then learns by itself whether it helps, and the canary
   * is judged. */
  async #compareWorlds(challenger: Model, champion: Model): Promise<Compared> {
    const isSame = challenger.labels.join("\n") === champion.labels.join("\n");
    const failed = isSame ? [] : [`its classes are not those of ${champion.version}: devices would refuse it`];
    const line = failed[0] ?? "a world model of the same classes; devices and the canary judge it";
    const json = JSON.stringify({ candidate: challenger.modelDigest, champion: champion.modelDigest, line });
    const lines = { passed: isSame, failed, unsure: [] };
    return { ...lines, ...seenBefore(challenger), ...(await this.#reports(json, pageOf(line))) };
  }

  async #compare(challenger: Model, champion: Model): Promise<Compared> {
    const { packages, validation } = this;
    const { checks, gate: settings } = this.config;
    const { margins, msMax, latencySlaMs: slaMs, robustness: kinds, ...options } = settings;
    const sla = Object.hasOwn(slaMs, challenger.name) ? slaMs[challenger.name] : undefined;
    const robustness = Object.hasOwn(kinds, challenger.name) ? kinds[challenger.name] : undefined;
    const [own, other] = [
      await packages.manifest(challenger.modelDigest),
      await packages.manifest(champion.modelDigest),
    ];
    const slowdown = slowdownOf(challenger.hardwareClass, checks.hardwareClasses);
    const before = gatesBefore(this.table.versions(challenger.name));
    const gated = await packages.withFolder(own, (candidate) =>
      packages.withFolder(other, (championDir) =>
        validation.withFrames(challenger.name, (frames, validationSet) =>
          this.#withDrifted(challenger, (drifted) =>
            runTask(
              {
                kind: "gate",
                options: {
                  candidate,
                  champion: championDir,
                  validation: frames,
                  slowdown,
                  ...options,
                  ...(validationSet !== undefined && { validationSet }),
                  ...(sla !== undefined && { latencySlaMs: sla }),
                  ...(robustness !== undefined && { robustness }),
                  ...(drifted !== null && { drifted }),
                },
                margins,
                gatesBefore: before,
              },
              { msMax, signal: this.#stop.signal, progress: (line) => this.#progress(challenger, line) },
            ),
          ),
        ),
      ),
    );
    const { failed, unsure, json, page, report, seen } = gated;
    const lines = { failed: bounded(failed), unsure: bounded(unsure) };
    const { validationSet: validationDigest, validationGates, sliceFrames, sliceGates } = seen;
    const counted = {
      validationGates: validationGates ?? 0,
      sliceDigest: sliceFrames ?? "",
      sliceGates: sliceGates ?? 0,
    };
    return { passed: report.passed, ...lines, validationDigest, ...counted, ...(await this.#reports(json, page)) };
  }

  /** Gives the frames of the slice that an automatic candidate was trained for to `work` (automatic.ts A1); null: a person made it. */
  async #withDrifted<T>(challenger: Model, work: (drifted: DriftedSlice | null) => Promise<T>): Promise<T> {
    const automatic = automaticOf(challenger);
    if (automatic === null) return work(null);
    const { slice, frames: digest } = automatic;
    return this.validation.withSliceFrames(challenger.name, digest, (frames) => work({ name: slice, frames, digest }));
  }

  /** A gate without a verdict is not passed, and its report has the reason. */
  async #unjudgeable(challenger: Model, champion: Model, error: unknown): Promise<Compared> {
    const why = `it could not be compared with ${champion.version}: ${reasonOf(error)}`;
    const json = JSON.stringify({ candidate: challenger.modelDigest, champion: champion.modelDigest, error: why });
    const lines = { passed: false, failed: bounded([why]), unsure: [] };
    return { ...lines, ...seenBefore(challenger), ...(await this.#reports(json, pageOf(why))) };
  }

  async #reports(json: string, page: string): Promise<Pick<Compared, "reportDigest" | "pageDigest">> {
    const { blobs } = this;
    const put = async (text: string) => (await blobs.put(once(text), { bytesMax: REPORT_BYTES_MAX })).digest;
    return { reportDigest: await put(json), pageDigest: await put(page) };
  }

  #progress({ name, version }: Model, line: string): void {
    if (this.#running !== undefined) this.#running.line = line;
    this.telemetry.emit(gateProgress, { name, version, line });
  }
}

/** A gate that showed nothing leaves the count of those before it (automatic.ts A2). */
function seenBefore({
  gate,
}: Model): Pick<GateOutcome, "validationDigest" | "validationGates" | "sliceDigest" | "sliceGates"> {
  const { validationDigest = "", validationGates = 0, sliceDigest = "", sliceGates = 0 } = gate ?? {};
  return { validationDigest, validationGates, sliceDigest, sliceGates };
}

async function* once(text: string): AsyncGenerator<Uint8Array> {
  yield new TextEncoder().encode(text);
}

const bounded = (lines: readonly string[]): readonly string[] =>
  lines.slice(0, FAILED_MAX).map((line) => line.slice(0, FAILED_LENGTH_MAX));

function pageOf(line: string): string {
  const text = line.replaceAll(/[&<>]/g, (c) => `&#${c.charCodeAt(0)};`);
  return `<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>Validation gate</title><p>${text}</p></html>\n`;
}
