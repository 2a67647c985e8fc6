/** Trainings over simulated months: verdicts open and close, champions change, jobs hang and fail, and whoever owns them is killed. */
import { createHash } from "node:crypto";
import { describe, expect, test } from "@jest/globals";
import { type DriftVerdict, type Rollout, type TrainingRun, topics } from "@tributary/contracts";
import { type Random, seededRandom } from "@tributary/kernel";
import { ModelTable } from "@tributary/models";
import { someDriftVerdict, someModel, someRollout } from "@tributary/testing";
import {
  applied,
  type Changed,
  cancelled,
  changed,
  cleanupOf,
  decide,
  type Effect,
  isEnded,
  isWorking,
  jobAttemptOf,
  type Outcome,
  requestedBy,
  runDefaults,
  triggersDue,
  type World,
} from "../index.ts";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const START = 1_800_000_000_000;
const settings = runDefaults;
const digest = (text: string): string => createHash("sha256").update(text).digest("hex");

/** What a fault costs is decided by `random`; without it everything works. */
class Simulation {
  now = START;
  readonly runs = new Map<string, TrainingRun>();
  readonly verdicts = new Map<string, DriftVerdict>();
  readonly rollouts = new Map<string, Rollout>();
  readonly models = new ModelTable();
  readonly starts = new Map<string, string>();
  readonly running = new Set<string>();
  readonly random: Random;
  isFaulty = true;
  isScheduled = false;

  constructor(seed: number) {
    this.random = seededRandom(seed);
    for (const name of ["edge", "cloud"]) {
      this.push(name, "1.0.0");
      this.alias(name, "champion", "1.0.0");
    }
  }

  get world(): World {
    const { runs, verdicts, rollouts, models } = this;
    const scheduledAfter = (at: number) => (this.isScheduled ? (Math.floor(at / (90 * DAY)) + 1) * 90 * DAY : null);
    return { runs, verdicts, rollouts, models, labelsSince: () => 0, scheduledAfter };
  }

  push(name: string, version: string): void {
    this.models.applyModel(someModel({ name, version, modelDigest: digest(`${name}${version}`), pushedAt: this.now }));
  }

  alias(name: string, alias: string, version: string | null): void {
    const { [alias]: _, ...others } = this.models.aliases(name);
    const aliases = version === null ? others : { ...others, [alias]: version };
    this.models.applyAliases({ name, aliases, changedBy: "", changedAt: this.now, validation: null });
  }

  verdict(verdictId: string, modelName: string, change: Partial<DriftVerdict> = {}): void {
    const modelDigest = this.models.byAlias(modelName, "champion")?.modelDigest ?? "";
    const scope = { scopeKey: "site", scopeValue: verdictId, modelName, modelDigest };
    this.verdicts.set(verdictId, someDriftVerdict({ verdictId, ...scope, state: "OPEN", retrain: true, ...change }));
  }

  chance(share: number): boolean {
    return this.isFaulty && this.random() < share;
  }

  /** What people, registry and rollout-manager do meanwhile. */
  outside(): void {
    for (const name of this.models.names()) {
      if (this.chance(0.01)) {
        const version = `${1 + Math.floor(this.random() * 90)}.9.0`;
        this.push(name, version);
        this.alias(name, "champion", version);
      }
      this.#judge(name);
      const id = `${name}-${Math.floor(this.random() * 3)}`;
      if (this.chance(0.2)) this.verdict(id, name);
      if (this.chance(0.02) && this.verdicts.has(id)) {
        this.verdict(id, name, { state: "CLOSED", closedBecause: "its evidence is gone" });
      }
    }
  }

  #judge(name: string): void {
    const challenger = this.models.byAlias(name, "challenger");
    const champion = this.models.byAlias(name, "champion");
    if (challenger === undefined || champion === undefined || challenger === champion) return;
    const { modelDigest, gate } = challenger;
    if (gate?.championDigest !== champion.modelDigest && gate?.forcedBy !== "ann") {
      const unsure = this.chance(0.2) ? ["too few frames"] : [];
      const passed = !this.chance(0.2);
      const verdict = { passed, championDigest: champion.modelDigest, failed: passed ? [] : ["worse"], unsure };
      const rest = {
        reportDigest: "",
        pageDigest: "",
        judgedAt: this.now,
        forcedBy: "",
        forcedReason: "",
        validationDigest: "",
        validationGates: 0,
        sliceDigest: "",
        sliceGates: 0,
      };
      this.models.applyModel({ ...challenger, gate: { ...verdict, ...rest } });
    } else if (gate?.passed && gate.unsure.length === 0) {
      const before = this.rollouts.get(modelDigest);
      if (before?.phase === "DEGRADED") return;
      const phase =
        before === undefined || this.chance(0.3) ? "PROGRESSING" : this.chance(0.3) ? "DEGRADED" : "HEALTHY";
      const rollout = { uid: modelDigest, modelDigest, phase, isBack: phase === "DEGRADED" } as const;
      this.rollouts.set(modelDigest, someRollout({ ...rollout, createdAt: this.now }));
      if (phase === "HEALTHY") this.alias(name, "champion", challenger.version);
    }
  }

  /** Performs an effect, which a repetition finds done. */
  perform(run: TrainingRun, effect: Effect): Outcome {
    if (this.chance(0.1)) return { kind: "outage", reason: "it does not answer" };
    const isStarted = effect.kind === "start-job" && this.running.has(`${run.runId}-${jobAttemptOf(run)}`);
    if (effect.kind !== "count-labels" && !isStarted && this.chance(0.1)) {
      return { kind: "failed", reason: "it failed", isRetryable: this.chance(0.7) };
    }
    switch (effect.kind) {
      case "count-labels": {
        const usable = this.isFaulty ? Math.floor(this.random() * 700) : 600;
        const tune = Math.floor(usable / 8);
        const part = Math.floor((usable - tune) / 2);
        return {
          kind: "labels",
          count: { usable, train: part, tune, gate: part, devices: 9, twice: { frames: 0, differ: 0 }, leftOut: {} },
        };
      }
      case "freeze":
        return { kind: "frozen", datasetVersion: digest(run.runId + run.parentDigest).slice(0, 12), frames: 600 };
      case "start-job": {
        const jobId = `${run.runId}-${jobAttemptOf(run)}`;
        this.running.add(jobId);
        return { kind: "job-started", jobId, backend: "stub" };
      }
      case "poll-job":
        return { kind: "job", report: this.#report(run.jobId) };
      case "stop-job":
        this.running.delete(run.jobId);
        return { kind: "job-stopped" };
      case "pack":
        return { kind: "packed", version: `9.9.9-${run.runId}`, digest: digest(`${run.model}9.9.9-${run.runId}`) };
      case "push":
        if (this.models.get(run.model, run.candidateVersion) === undefined) this.push(run.model, run.candidateVersion);
        this.alias(run.model, "challenger", run.candidateVersion);
        return { kind: "pushed" };
      case "withdraw":
        if (this.models.aliases(run.model).challenger === run.candidateVersion)
          this.alias(run.model, "challenger", null);
        return { kind: "withdrawn" };
      case "extend-validation":
        return { kind: "validation-extended", frames: 225 };
    }
  }

  #report(jobId: string): Extract<Outcome, { kind: "job" }>["report"] {
    if (this.chance(0.4)) return { kind: "running", progress: this.random(), line: "step" };
    if (this.chance(0.05)) return { kind: "running", progress: null, line: "" };
    this.running.delete(jobId);
    if (this.chance(0.1)) return { kind: "malformed", reason: "no result.json" };
    if (this.chance(0.05)) return { kind: "cancelled" };
    return this.chance(0.2)
      ? { kind: "failed", reason: "out of memory", isRetryable: true }
      : { kind: "succeeded", result: { formatVersion: 1 } };
  }

  /** One look of the owner; killed somewhere in it, it left effects and no record. */
  look(): void {
    for (const change of triggersDue(this.world, this.now, settings, digest)) this.write(change);
    for (const { runId } of [...this.runs.values()].filter((run) => !isEnded(run))) this.#advance(runId);
  }

  #advance(runId: string): void {
    for (let i = 0; i < 8; i++) {
      const run = this.runs.get(runId) as TrainingRun;
      const action = decide(run, this.world, this.now, settings);
      if (action === null) return;
      if (action.kind === "change") {
        this.write(changed(run, action.change, action.patch, this.now));
        continue;
      }
      const outcome = this.perform(run, action);
      if (this.chance(0.2)) return; // Killed: the outcome is lost.
      const change = applied(run, action, outcome, this.world, this.now, settings);
      if (change === null) return;
      this.write(change);
    }
  }

  /** A record goes through Kafka: who takes over reads what was written. */
  write({ run, event }: Changed): void {
    const { codec } = topics.trainingResults;
    const stored = codec.decodeConfluent(codec.encodeConfluent(run));
    topics.trainingRequests.codec.encodeConfluent(event);
    const before = this.runs.get(run.runId);
    expect([run.version, event.version]).toEqual(Array(2).fill((before?.version ?? 0n) + 1n));
    this.runs.set(run.runId, stored);
    const open = [...this.runs.values()].filter((one) => !isEnded(one));
    const causes = open.map(({ causeKey }) => causeKey);
    expect(new Set(causes).size).toBe(causes.length); // T1
    const working = open.filter(isWorking).map(({ model }) => model);
    expect(new Set(working).size).toBe(working.length); // R1
    expect(run.message).not.toBe("");
  }
}

describe("trainings over months", () => {
  test.each([1, 2, 3, 4])(
    "seed %i: one a cause, one working a model, and each ends or names what it waits for",
    (seed) => {
      const simulation = new Simulation(seed);
      const phases = new Set<string>();
      for (let step = 0; step < 300; step++) {
        simulation.now += simulation.random() < 0.02 ? DAY : simulation.random() * HOUR;
        simulation.outside();
        simulation.look();
        if (simulation.chance(0.02)) askSomething(simulation);
        for (const { phase } of simulation.runs.values()) phases.add(phase);
      }
      simulation.isFaulty = false;
      for (const id of simulation.verdicts.keys()) {
        const { modelName } = simulation.verdicts.get(id) as DriftVerdict;
        simulation.verdict(id, modelName, { state: "CLOSED", closedBecause: "the simulation ends" });
      }
      for (let day = 0; day < 40; day++) {
        simulation.now += DAY;
        for (let i = 0; i < 5; i++) {
          simulation.outside();
          simulation.look();
        }
      }
      const open = [...simulation.runs.values()].filter((run) => !isEnded(run));
      for (const { phase, message } of open) {
        expect(phase).toMatch(/^(HELD|PUSHING|QUEUED|LABELLING)$/);
        expect(message).toMatch(/unsure|waits for (challenger|training)|no rollout has started/);
      }
      // Whatever ended left no job behind, and no candidate that may still become champion.
      const jobs = [...simulation.running].filter((jobId) => {
        const { phase, message } = simulation.runs.get(jobId.split("-")[0] ?? "") as TrainingRun;
        return phase !== "TRAINING" && !message.includes("may still run");
      });
      expect(jobs).toEqual([]);
      for (const run of simulation.runs.values()) {
        const isLeft = simulation.models.aliases(run.model).challenger === run.candidateVersion;
        if (run.candidateVersion !== "" && isEnded(run) && run.phase !== "SUCCEEDED") expect(isLeft).toBe(false); // R4
      }
      expect(phases.size).toBeGreaterThan(9);
    },
  );
});

/** A person starts or cancels something. */
function askSomething(simulation: Simulation): void {
  const { world, now } = simulation;
  try {
    if (simulation.random() < 0.5) {
      simulation.write(requestedBy({ model: "edge", by: "ann", reason: "to see" }, world, now, settings, digest));
      return;
    }
    const run = [...simulation.runs.values()].find((one) => !isEnded(one));
    if (run === undefined) return;
    const cleanup = cleanupOf(run, world);
    if (cleanup === "stop-job") {
      if (run.jobId === "") return;
      simulation.running.delete(run.jobId);
    }
    if (cleanup === "withdraw") simulation.alias(run.model, "challenger", null);
    simulation.write(cancelled(run, "ann", "not now", now));
  } catch (error) {
    expect((error as { code?: string }).code).toMatch(/^training-/);
  }
}
