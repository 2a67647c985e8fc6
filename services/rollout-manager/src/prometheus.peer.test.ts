/** Rollouts judged by counters that a real Prometheus scrapes, on a real Kafka: a model whose harm only these counters show is
 * rolled back, an equal one is not, and instances agree, one of them without a Prometheus that answers. */
import { type ChildProcess, spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { type AnalysisLook, analysisEvidenceOf, isFinished } from "@tributary/rollouts";
import { freePort, type SimulatedFleet, tempDir, waitFor } from "@tributary/testing";
import { debian } from "../../../tools/peers.mjs";
import { SpecRefused } from "./creation/spec-problems.ts";
import {
  digests,
  type Instance,
  quickly,
  Rig,
  until as untilSoon,
  usualSteps,
  written,
} from "./rollout-manager.test-kit.ts";

/** How many answers applications keep, by device, as counters to scrape. */
class Counters {
  readonly server: Server;
  readonly #counts = new Map<string, { kept: number; all: number }>();
  readonly #timer: NodeJS.Timeout;

  constructor(fleet: SimulatedFleet, keptShare: Readonly<Record<string, number>>) {
    this.#timer = setInterval(() => {
      for (const { deviceId, modelDigest } of fleet.all) {
        const counts = this.#counts.get(deviceId) ?? { kept: 0, all: 0 };
        this.#counts.set(deviceId, counts);
        const share = keptShare[modelDigest] ?? 0.97;
        counts.all += 200;
        counts.kept += Math.min(200, Math.round(200 * share + (Math.random() + Math.random() - 1) * 4));
      }
    }, 100);
    this.server = createServer((_, response) => {
      const lines = [...this.#counts].flatMap(([device, { kept, all }]) => [
        `answers_total{device="${device}",outcome="kept"} ${kept}`,
        `answers_total{device="${device}",outcome="discarded"} ${all - kept}`,
      ]);
      // A sum without a selector includes these series, too.
      lines.push('answers_total{device="",outcome="kept"} 7', 'answers_total{device="elsewhere",outcome="kept"} NaN');
      response.writeHead(200, { "content-type": "text/plain; version=0.0.4" }).end(`${lines.join("\n")}\n`);
    });
  }

  /** The device's application restarts: its counters begin at 0. */
  restart(deviceId: string): void {
    this.#counts.set(deviceId, { kept: 0, all: 0 });
  }

  close(): void {
    clearInterval(this.#timer);
    this.server.closeAllConnections();
    this.server.close();
  }
}

const until = (...[instance, uid, what, is]: Parameters<typeof untilSoon>) =>
  untilSoon(instance, uid, what, is, PATIENT_MS);

const kept = {
  good: 'sum by (device) (answers_total{outcome="kept"})',
  total: "sum by (device) (answers_total)",
};
const metrics = [
  { name: "deadline-met", alpha: 0.02 },
  { name: "answers-kept", alpha: 0.02, provider: { prometheus: kept } },
];
const quickPrometheus = { everyMs: 1_000, delayMs: 500, timeoutMs: 5_000 };
/** Scrapes of a busy machine come late. */
const judge = { ...quickly.judge, silenceMs: 10_000 };
/** A busy machine's devices are no silent ones. */
const judged = { metrics, progressDeadline: "60s" };
/** Longer than on a quiet machine by far. */
const PATIENT_MS = 60_000;

describe("a rollout with a metric of Prometheus'", () => {
  const dir = tempDir("prometheus-peer");
  const rig = new Rig();
  let counters: Counters;
  let prometheus: ChildProcess;
  let url: string;
  /** Nothing listens there. */
  let nobody: string;

  beforeAll(async () => {
    const fleet = await rig.prepare(80, { [digests.worse]: {} });
    counters = new Counters(fleet, { [digests.worse]: 0.85 });
    await new Promise<void>((listening) => counters.server.listen(0, "127.0.0.1", listening));
    const target = `127.0.0.1:${(counters.server.address() as AddressInfo).port}`;
    const file = join(dir.path, "prometheus.yml");
    writeFileSync(
      file,
      `scrape_configs: [{ job_name: app, scrape_interval: 1s, scrape_timeout: 1s, static_configs: [{ targets: ["${target}"] }] }]\n`,
    );
    const port = await freePort();
    nobody = `http://127.0.0.1:${await freePort()}`;
    url = `http://127.0.0.1:${port}`;
    prometheus = spawn(
      debian("prometheus"),
      [`--config.file=${file}`, `--storage.tsdb.path=${dir.path}/data`, `--web.listen-address=127.0.0.1:${port}`],
      { stdio: "ignore" },
    );
    const scraped = async () => {
      const response = await fetch(`${url}/api/v1/query?query=count(answers_total)`).catch(() => null);
      return response?.ok === true && /"1\d\d"/.test(await response.text());
    };
    await waitFor(scraped, { what: "the first scrapes", timeoutMs: PATIENT_MS });
  });

  afterAll(async () => {
    await rig.stop();
    if (prometheus?.exitCode === null) {
      const ended = new Promise((resolve) => prometheus.once("exit", resolve));
      prometheus.kill();
      await ended;
    }
    counters?.close();
    dir.remove();
  });

  const instances = () =>
    Promise.all([
      rig.instance({ judge, prometheus: { url, ...quickPrometheus } }),
      // Its Prometheus does not exist: it judges by the observations of the other instance.
      rig.instance({ judge, prometheus: { url: nobody, ...quickPrometheus } }),
    ]);
  const close = (all: readonly Instance[]) => Promise.all(all.map((one) => one.close()));

  test("whose harm only Prometheus shows is rolled back from its canary, and a device that restarts does not disturb it", async () => {
    const [instance, other] = await instances();
    const { uid } = await instance.manager.create(written("edge@3", judged), "ann");
    await until(instance, uid, "its analysis", ({ analysis }) => analysis === "Running");
    const restarts = rig.fleet?.all.slice(0, 10) ?? [];
    for (const { deviceId } of restarts) counters.restart(deviceId);
    const aborted = await until(instance, uid, "its verdict", ({ aborted }) => aborted !== null);
    expect(analysisEvidenceOf(aborted.evidence)?.why).toMatch(/^answers-kept fell by/);
    const back = await until(instance, uid, "its rollback", isFinished);
    expect(back).toMatchObject({
      phase: "Degraded",
      aborted: { why: expect.stringContaining("answers-kept fell by"), isBack: true },
    });
    const had = rig.fleet?.all.filter(({ ran }) => ran.includes(digests.worse)) ?? [];
    expect(had).toHaveLength(8);
    expect(rig.fleet?.running(digests.worse)).toEqual([]);
    const theirs = await until(other, uid, "the other's verdict", isFinished);
    expect(theirs).toEqual(back);
    const text = await instance.telemetry.metrics();
    expect(text).toMatch(/tributary_rollout_prometheus_asks_total [1-9]/);
    expect(text).toMatch(/tributary_rollout_series_refused_total\{reason="no-device-label"\} [1-9]/);
    expect(text).toMatch(/tributary_rollout_series_refused_total\{reason="not-in-rollout"\} [1-9]/);
    expect(await other.telemetry.metrics()).toMatch(
      /tributary_rollout_prometheus_failures_total\{code="prometheus-unreachable"\} [1-9]/,
    );
    await close([instance, other]);
  }, 240_000);

  test("is judged alike by every instance and by one that starts later, and an equal model reaches all", async () => {
    const [instance, other] = await instances();
    const steps = [{ setWeight: 10 }, { pause: {} }, ...usualSteps.slice(1)];
    const { uid } = await instance.manager.create(written("edge@2", judged, steps), "ann");
    await until(instance, uid, "its pause", ({ phase }) => phase === "Paused");
    /** Every look of an instance as it was judged, by metric and time. */
    const looks = new Map<Instance, Map<string, AnalysisLook>>();
    const watch = (one: Instance) => {
      const seen = looks.get(one) ?? new Map<string, AnalysisLook>();
      looks.set(one, seen);
      for (const look of one.manager.controller.evidence(uid)?.looks ?? [])
        seen.set(`${look.metric} after ${look.sinceMs} ms`, look);
      return seen;
    };
    const late = rig.instance({ judge, prometheus: { url: nobody, ...quickPrometheus } });
    const all = [instance, other, await late];
    const shared = () => {
      const [first, ...others] = all.map(watch) as [Map<string, AnalysisLook>, ...Map<string, AnalysisLook>[]];
      return [...first.keys()].filter((key) => others.every((one) => one.has(key)));
    };
    const ofPrometheus = () => shared().filter((key) => key.startsWith("answers-kept"));
    await waitFor(() => ofPrometheus().length >= 10, { what: "looks of all", timeoutMs: PATIENT_MS, everyMs: 20 });
    for (const key of shared()) {
      for (const one of all) expect([key, looks.get(one)?.get(key)]).toEqual([key, looks.get(instance)?.get(key)]);
    }
    const known = instance.manager.controller.evidence(uid)?.metrics.find(({ name }) => name === "answers-kept");
    expect(known).toMatchObject({ source: "prometheus", canary: { devices: 8 }, control: { devices: 32 } });
    await instance.manager.command(uid, "resume", "ann");
    const done = await until(instance, uid, "its end", isFinished);
    expect(done).toMatchObject({ phase: "Healthy", weight: 100 });
    expect(await until(other, uid, "the other's verdict", isFinished)).toEqual(done);
    expect(await until(await late, uid, "the late one's verdict", isFinished)).toEqual(done);
    await close(all);
  }, 300_000);

  test("that Prometheus knows nothing of is refused with its place", async () => {
    const instance = await rig.instance({ judge, prometheus: { url, ...quickPrometheus } });
    const refused = async (prometheus: object) => {
      const wrong = [metrics[0], { ...metrics[1], provider: { prometheus: { ...kept, ...prometheus } } }];
      const error = await instance.manager
        .create(written("edge@3", { metrics: wrong }), "ann")
        .catch((e: unknown) => e);
      return error instanceof SpecRefused ? `${error.code} ${error.message}` : `${error}`;
    };
    expect(await refused({ good: "answer_total" })).toMatch(
      /^metric-unknown spec\.metrics\[1\]\.provider\.prometheus\.good: Prometheus finds no series/,
    );
    expect(await refused({ deviceLabel: "camera", good: "up", total: "answers_total" })).toMatch(
      /none of its \d+ series has the label camera; there are __name__, (device|instance|job)/,
    );
    expect(await refused({ deviceLabel: "outcome", good: "answers_total", total: "2 * answers_total" })).toMatch(
      /none of its series is of a device of this rollout: outcome is (kept|discarded), (kept|discarded), and the rollout has d\d+/,
    );
    expect(await refused({ good: "answers_total * on (device) answers_total" })).toMatch(
      /prometheus\.good: Prometheus refuses the query: .*many-to-many|duplicate series/,
    );
    await instance.close();
  });

  test("is not promoted while Prometheus is unreachable, and reports why", async () => {
    const instance = await rig.instance({ judge, prometheus: { url: nobody, ...quickPrometheus } });
    const steps = [{ setWeight: 10 }, { analysis: { duration: "6s" } }, { setWeight: 100 }];
    // The fleet runs edge@2 by now.
    const { uid } = await instance.manager.create(written("edge@3", judged, steps), "ann");
    const paused = await until(instance, uid, "its pause", ({ phase }) => phase !== "Progressing");
    expect(paused).toMatchObject({ phase: "Paused", pause: { reason: "no-data" } });
    const evidence = analysisEvidenceOf(paused.evidence) ?? instance.manager.controller.evidence(uid);
    expect(evidence?.why).toMatch(
      /nothing to compare in answers-kept \(Prometheus cannot be asked: .*ECONNREFUSED.*\)/,
    );
    expect(evidence?.metrics.find(({ name }) => name === "answers-kept")?.note).toMatch(/Prometheus cannot be asked/);
    await instance.manager.command(uid, "abort", "ann");
    await until(instance, uid, "its rollback", isFinished);
    await instance.close();
  });
});

test("a rollout-manager without a Prometheus refuses a specification that needs one, with its place", async () => {
  const rig = new Rig();
  await rig.prepare(8);
  const instance = await rig.instance();
  await expect(instance.manager.create(written("edge@2", { metrics }), "ann")).rejects.toMatchObject({
    code: "provider-not-configured",
    problems: [
      { path: ["spec", "metrics", 1, "provider", "prometheus"], message: expect.stringMatching(/write prometheus:/) },
    ],
  });
  await rig.stop();
});
