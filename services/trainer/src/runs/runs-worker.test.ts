/** Trainings from the verdict to the champion, whoever owns them: runs-worker.ts. What is decided when is the core's test. */
import { describe, expect, test } from "@jest/globals";
import { topics } from "@tributary/contracts";
import { someDriftReview } from "@tributary/testing";
import { away, NOW, Rig, someDataset } from "../trainer.test-kit.ts";

const HOUR = 3_600_000;

/** To the phase, and nothing fails on the way. */
async function at(phase: "LABELLING" | "TRAINING" | "GATE" | "ROLLOUT", rig = new Rig()): Promise<Rig> {
  if (phase === "LABELLING") rig.labels = 20;
  if (phase === "TRAINING") rig.job = { kind: "running", progress: 0.5, line: "step 50 of 100" };
  rig.verdict();
  if (phase !== "ROLLOUT") {
    await rig.until(phase);
    return rig;
  }
  await rig.until("GATE");
  rig.gate();
  await rig.until("ROLLOUT");
  rig.rollout("PROGRESSING");
  return rig;
}

describe("a training", () => {
  test("goes from the verdict to the champion, and a verdict that is written ten times is one training", async () => {
    const rig = await at("ROLLOUT");
    for (let i = 0; i < 10; i++) rig.verdict({ version: BigInt(i + 2) });
    await rig.worker.look();
    rig.rollout("HEALTHY");
    rig.alias({ ...rig.aliases, champion: rig.run.candidateVersion });
    const run = await rig.until("SUCCEEDED");
    expect(run).toMatchObject({ slice: "site=north", parentVersion: "1.4.0", metrics: { blend: 0.8 } });
    expect(run.candidateVersion).toBe(`1.5.0-${run.runId}`);
    expect(rig.history.filter((kind) => kind !== "WAITING").join(" ")).toBe(
      "REQUESTED RELEASED LABELS_COUNTED LABELS_COMPLETE FROZEN JOB_STARTED JOB_SUCCEEDED PACKED PUSHED GATE_PASSED ROLLOUT_STARTED SUCCEEDED",
    );
    const events = rig.kafka.values(topics.trainingRequests).map(({ version }) => Number(version));
    expect(events).toEqual(events.map((_, i) => i + 1));
    expect(rig.kafka.values(topics.datasets)).toHaveLength(1);
    await rig.worker.revoke();
  });

  test("that gives nothing succeeds without a candidate: nothing is packed or pushed", async () => {
    const rig = new Rig();
    const nothing = "every blend does harm; the smallest, 0.1: water elsewhere: 12 lost and 0 won of 120 frames";
    rig.found = { kind: "result", result: { formatVersion: 1, blend: 0, nothing } };
    rig.verdict();
    const run = await rig.until("SUCCEEDED");
    expect(run).toMatchObject({ candidateVersion: "", metrics: { blend: 0 } });
    expect(run.message).toBe(`this training gives nothing: ${nothing}; edge@1.4.0 stays champion`);
    expect([rig.count("pack"), rig.count("push"), rig.count("alias")]).toEqual([0, 0, 0]);
    expect(run.endedAt).not.toBeNull();
    await rig.worker.revoke();
  });

  test.each(["count", "freeze", "start", "status", "pack", "push", "alias"])(
    "killed in %s, another instance ends it: one job, one candidate",
    async (call) => {
      const first = new Rig();
      const killed = Promise.withResolvers<void>();
      first.before = async (one) => {
        if (one !== call) return;
        killed.resolve();
        await new Promise(() => {}); // The process is gone before the answer.
      };
      first.verdict();
      const looking = setInterval(() => void first.worker.look().catch(() => {}), 5);
      await killed.promise;
      clearInterval(looking);
      const second = new Rig(first);
      await second.until("GATE");
      second.gate();
      await second.until("ROLLOUT");
      expect(second.jobs.size).toBe(1);
      expect([...second.models.keys()]).toEqual(["1.4.0", second.run.candidateVersion]);
      await second.worker.revoke();
    },
  );

  test("an outcome of a claim that is over does not count (W1)", async () => {
    const rig = new Rig();
    const packing = Promise.withResolvers<void>();
    const goes = Promise.withResolvers<void>();
    rig.before = async (call) => {
      if (call !== "pack" || rig.count("pack") > 1) return;
      packing.resolve();
      await goes.promise;
    };
    rig.verdict();
    const looking = setInterval(() => void rig.worker.look(), 5);
    await packing.promise;
    clearInterval(looking);
    await rig.worker.inTurn(async () => {});
    rig.worker.forget("test", "the claim is lost");
    const { version } = rig.run;
    goes.resolve();
    await new Promise(setImmediate);
    expect(rig.run.version).toBe(version);
    await rig.until("GATE");
    expect(rig.count("pack")).toBe(2);
    await rig.worker.revoke();
  });
});

describe("bad ends", () => {
  test("a job that hangs is cancelled and tried again; then the training fails", async () => {
    const rig = await at("TRAINING");
    for (let attempt = 1; attempt <= 3; attempt++) {
      await rig.when(`job ${attempt}`, ({ runId, jobId }) => jobId === `${runId}-${attempt}`);
      rig.at.now += 7 * HOUR;
      await rig.when("its end", ({ jobId, phase }) => jobId === "" || phase === "FAILED");
      rig.at.now += HOUR;
    }
    expect(rig.run).toMatchObject({
      phase: "FAILED",
      message: expect.stringMatching(/ran for longer than 360 minutes/),
    });
    expect([...rig.jobs.values()].map(({ kind }) => kind)).toEqual(["cancelled", "cancelled", "cancelled"]);
    await rig.worker.revoke();
  });

  test("malformed results are tried once more", async () => {
    const rig = new Rig();
    rig.found = { kind: "malformed", reason: "result.json is not JSON" };
    rig.verdict();
    const failed = await waitForEnd(rig);
    expect(failed).toMatchObject({ phase: "FAILED", message: expect.stringMatching(/result.json is not JSON/) });
    expect(rig.jobs.size).toBe(2);
  });

  test("a candidate that the gate stops loses the alias, and the cause rests", async () => {
    const rig = await at("GATE");
    rig.gate({ passed: false });
    const run = await rig.until("FAILED");
    expect(run.message).toBe("the gate stopped it: base: 4 points worse");
    expect(rig.aliases).toEqual({ champion: "1.4.0" });
    rig.at.now += HOUR;
    await rig.worker.look();
    expect(rig.run.runId).toBe(run.runId);
    await rig.worker.revoke();
  });

  test("what does not answer costs no attempt", async () => {
    const rig = new Rig();
    rig.before = (call) => {
      if (call === "push" && rig.count("push") < 8) throw away();
    };
    rig.verdict();
    const run = await rig.until("GATE");
    expect([run.attempt, rig.count("push")]).toEqual([1, 8]);
    await rig.worker.revoke();
  });

  const reviewed = (kind: "CORRECT" | "KNOWN", until: number | null = null) => {
    const { verdictId: _v, openedAt: _o, found: _f, devices: _d, ...answer } = someDriftReview({ kind, until });
    return { retrain: false, review: { ...answer, cause: "CAMERA", offset: 0n } } as const;
  };
  test.each<[string, Parameters<Rig["verdict"]>[0], RegExp]>([
    ["closes", { state: "CLOSED", closedBecause: "its inputs are as before" }, /its inputs are as before/],
    ["a person corrects to a fault of a camera", reviewed("CORRECT"), /^ann corrected .* v-1 to CAMERA$/],
    ["a person knows of", reviewed("KNOWN", NOW + HOUR), /^ann knows of verdict v-1 until /],
  ])("a verdict that %s ends the wait for labels, with its reason", async (_, change, message) => {
    const rig = await at("LABELLING");
    rig.verdict(change);
    expect(await rig.until("CANCELLED")).toMatchObject({ message: expect.stringMatching(message) });
    await rig.worker.revoke();
  });

  test("a site with 20 frames is refused with the number that would do", async () => {
    const rig = await at("LABELLING");
    rig.at.now += 8 * 24 * HOUR;
    expect(await rig.until("REFUSED")).toMatchObject({ message: expect.stringMatching(/label at least 200 more/) });
    await rig.worker.revoke();
  });

  test("a base set without what candidates are judged by is written with the dataset that replays it", async () => {
    const rig = await at("LABELLING");
    rig.base = someDataset({ version: "less", kind: "BASE", createdBy: "trainer" });
    rig.labels = 600;
    const { runId } = await rig.until("TRAINING");
    const written = rig.kafka.values(topics.datasets).map(({ version, baseVersion }) => [version, baseVersion]);
    expect(written).toEqual([
      ["less", ""],
      [`d-${runId}`, "less"],
    ]);
    await rig.worker.revoke();
  });

  test("frames that candidates are judged by do not count as labels, and the messages name them", async () => {
    const rig = await at("LABELLING");
    rig.judged = 225;
    const waits = await rig.when("what is left out", ({ message }) => message.includes("judged"));
    expect(waits.message).toMatch(/^20 of 600 labelled frames of .* \(candidates are judged by 225 more already\)/);
    rig.at.now += 8 * 24 * HOUR;
    const refused = /20 frames of .* have usable labels, apart from 225 that candidates are judged by already: /;
    expect(await rig.until("REFUSED")).toMatchObject({ message: expect.stringMatching(refused) });
    await rig.worker.revoke();
  });
});

describe("what changes meanwhile", () => {
  test("another champion: the job is cancelled, and the training starts over from the new one, at most twice", async () => {
    const rig = await at("TRAINING");
    for (const version of ["2.0.0", "3.0.0", "4.0.0"]) {
      await rig.when("a job", ({ jobId }) => jobId !== "");
      rig.champion(version);
      await rig.when("its end", ({ jobId, phase }) => jobId === "" || phase === "FAILED");
    }
    expect(rig.run).toMatchObject({ parentVersion: "3.0.0", message: expect.stringMatching(/started over 2 times/) });
    const { runId } = rig.run;
    expect([...rig.jobs]).toEqual([1, 101, 201].map((attempt) => [`${runId}-${attempt}`, { kind: "cancelled" }]));
    await rig.worker.revoke();
  });

  test("where two people differ too often nothing is trained; a few differences are counted", async () => {
    const few = await at("LABELLING");
    few.twice = { frames: 30, differ: 4 };
    const { message } = await few.when("both are counted", ({ metrics }) => metrics["labels.differ"] === 4);
    expect(message).toContain("(of 30 that two people labelled they differ on 4)");
    few.twice = { frames: 30, differ: 14 };
    expect(await few.until("REFUSED")).toMatchObject({
      message: expect.stringMatching(
        /^two people differ on 14 of 30 frames .*: about 23 % of labels are wrong; agree on/,
      ),
    });
    await few.worker.revoke();
  });

  test("a person who asks is refused at once where no labels would do, with what would", async () => {
    const rig = new Rig();
    await rig.worker.look();
    const ask = () => rig.worker.request({ model: "edge", by: "ann", reason: "dusk" });
    rig.baseLacks = "the base set of edge has 180 photos to train on and 20 that look like no other to choose with";
    await expect(ask()).rejects.toMatchObject({ code: "training-lacks", message: rig.baseLacks });
    rig.baseLacks = null;
    rig.validationFrames = 100;
    await expect(ask()).rejects.toMatchObject({
      code: "training-lacks",
      message: expect.stringContaining("100 validation frames"),
    });
    rig.validationFrames = 1_000;
    expect((await ask()).phase).toBe("QUEUED");
    await rig.worker.revoke();
  });

  test("too few validation frames: refused before anybody labels", async () => {
    const rig = new Rig();
    rig.validationFrames = 150;
    rig.verdict();
    expect(await rig.until("REFUSED")).toMatchObject({ message: expect.stringMatching(/150 .*; then start it again/) });
    await rig.worker.revoke();
  });
});

describe("people", () => {
  const by = ["ann", "not now"] as const;

  test("cancel a training in any phase before its rollout; nothing of it is left", async () => {
    for (const phase of ["LABELLING", "TRAINING", "GATE"] as const) {
      const rig = await at(phase);
      const { runId } = rig.run;
      const run = await rig.worker.cancel(runId, ...by);
      expect(run).toMatchObject({ phase: "CANCELLED", message: "cancelled by ann: not now", endedAt: NOW });
      expect([...rig.jobs.values()].some(({ kind }) => kind === "running")).toBe(false);
      expect(rig.aliases).toEqual({ champion: "1.4.0" });
      await expect(rig.worker.cancel(runId, ...by)).rejects.toMatchObject({ code: "training-ended" });
      await rig.worker.revoke();
    }
  });

  test("cancel what is being packed: packing ends", async () => {
    const rig = new Rig();
    const packing = Promise.withResolvers<void>();
    rig.before = (call, signal) => {
      if (call !== "pack") return;
      packing.resolve();
      return new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));
    };
    rig.verdict();
    const looking = setInterval(() => void rig.worker.look(), 5);
    await packing.promise;
    clearInterval(looking);
    expect(await rig.worker.cancel(rig.run.runId, ...by)).toMatchObject({ phase: "CANCELLED", candidateVersion: "" });
    await rig.worker.revoke();
  });

  test("cannot cancel what is being rolled out: they abort the rollout", async () => {
    const rig = await at("ROLLOUT");
    await rig.worker.look();
    await expect(rig.worker.cancel(rig.run.runId, ...by)).rejects.toMatchObject({ code: "training-in-rollout" });
    await rig.worker.revoke();
  });

  test("decide about a candidate that the gate is unsure of", async () => {
    const rig = await at("GATE");
    rig.gate({ unsure: ["site=north: 40 frames are too few"] });
    expect(await rig.until("HELD")).toMatchObject({
      message: expect.stringMatching(/40 frames are too few; .*resume/),
    });
    await rig.worker.resume(rig.run.runId, "ann");
    await rig.until("ROLLOUT");
    expect(rig.count("force")).toBe(1);
    await rig.worker.revoke();
  });

  test("start one themselves, except while another is past its labels", async () => {
    const rig = await at("TRAINING");
    const request = { model: "edge", by: "ann", reason: "a new season" };
    await expect(rig.worker.request(request)).rejects.toMatchObject({ code: "training-open" });
    await expect(rig.worker.request({ ...request, model: "none" })).rejects.toMatchObject({ code: "model-unknown" });
    await rig.worker.cancel(rig.run.runId, ...by);
    expect(await rig.worker.request(request)).toMatchObject({ trigger: "PERSON", slice: "fleet", phase: "QUEUED" });
    await expect(rig.worker.request(request)).rejects.toMatchObject({ code: "training-open" });
    await rig.worker.revoke();
  });
});

async function waitForEnd(rig: Rig) {
  for (let i = 0; i < 200 && (i === 0 || rig.run.endedAt === null); i++) {
    await rig.worker.look();
    await new Promise((resolve) => setTimeout(resolve, 5));
    rig.at.now += 120_000;
  }
  await rig.worker.revoke();
  return rig.run;
}
