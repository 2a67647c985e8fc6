/** A light device over real MQTT; its models are fakes, since when they answer is the point. */
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { DeviceDesired, DeviceReported, EdgePredictions, mqttTopics } from "@tributary/contracts";
import type { Inference, ModelPackage } from "@tributary/inference";
import { Failure, systemClock } from "@tributary/kernel";
import { loadPackage } from "@tributary/model-store";
import { repositoryRoot, waitFor } from "@tributary/testing";
import { TinyBroker } from "@tributary/testing/devices";
import { LightDevice } from "./light-device.ts";
import type { Answer, Proof, SharedModel, SharedModels } from "./shared-models.ts";

const DEVICE = "light-1";
const PREFIX = "tributary";
const topics = mqttTopics(PREFIX);
const GOOD = "a".repeat(64);
const TRIAL = "b".repeat(64);
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Answers with a class of its own, so that one sees in a prediction who made it. */
class FakeModel {
  readonly pkg: ModelPackage;
  readonly #answered: Answer;
  holders = 0;
  asked = 0;
  askedUnheld = 0;
  answerMs = 1;
  refusal: string | null = null;
  losses = 0;

  constructor(pkg: ModelPackage, classIndex: number) {
    this.pkg = pkg;
    const logits = new Float32Array(pkg.labels.length);
    logits[classIndex] = 9;
    const inference = { logits, timingsMs: { preprocess: 0, run: 0 } } as unknown as Inference;
    this.#answered = { kind: "answered", losses: 0, inference };
  }
  async infer(): Promise<Answer> {
    this.asked += 1;
    this.askedUnheld += this.holders > 0 ? 0 : 1;
    const { refusal, losses } = this;
    await sleep(this.answerMs);
    if (refusal !== null) return { kind: "unreadable", losses, code: refusal, reason: "not as it takes them" };
    return { ...this.#answered, losses };
  }
  /** As if it had to be loaded for it. */
  async prove(): Promise<Proof> {
    await sleep(100);
    return { ok: true };
  }
}

class World {
  readonly good: FakeModel;
  readonly trial: FakeModel;
  readonly device: LightDevice;
  readonly #broker: TinyBroker;
  /** From now on no package can be loaded. */
  isDiskGone = false;

  constructor(pkg: ModelPackage, broker: TinyBroker) {
    this.#broker = broker;
    this.good = new FakeModel({ ...pkg, digest: GOOD }, 0);
    this.trial = new FakeModel({ ...pkg, digest: TRIAL }, 1);
    this.good.holders = 1;
    const models = {
      hold: async (_: string, digest: string) => {
        if (this.isDiskGone) throw new Failure("package-missing", "retry", `${digest} is gone`);
        const model = digest === GOOD ? this.good : this.trial;
        model.holders += 1;
        return model;
      },
      release: async (model: FakeModel) => void model.holders--,
    };
    this.device = new LightDevice(
      {
        ...{ deviceId: DEVICE, password: "x", mqtt: { url: broker.url, prefix: PREFIX }, hardwareClass: "any" },
        ...{ fps: 100, batchWaitMs: 40, windowMs: 60_000 },
      },
      {
        camera: async () => new Uint8Array(),
        models: models as unknown as SharedModels,
        packages: { fetch: async ({ digest }) => `/packages/${digest}` },
        factory: this.good as unknown as SharedModel,
        clock: systemClock,
        random: () => 0.5,
      },
    );
  }

  want(probationFrames: number, shadowFrames = 0): Promise<void> {
    const model = { modelName: "m", modelVersion: "2", modelDigest: TRIAL };
    const how = { shadowFrames, probationFrames, condition: "ANY" as const, windows: [] };
    const desired: DeviceDesired = {
      ...{ deviceId: DEVICE, generation: 1n, slots: { perception: { ...model, ...how } } },
      ...{ rollout: "r-1", why: "a test", changedAt: 0 },
    };
    return this.#broker.publish(topics.desired(DEVICE), DeviceDesired.encodeSingleObject(desired), true);
  }

  /** By whom each prediction was made, and under whose digest it was sent. */
  get predictions(): readonly { readonly by: string; readonly sentAs: string }[] {
    const { labels } = this.good.pkg;
    return this.#up("predictions")
      .map((payload) => EdgePredictions.decodeSingleObject(payload))
      .flatMap(({ modelDigest, predictions }) =>
        predictions.map(({ label }) => ({ by: label === labels[0] ? GOOD : TRIAL, sentAs: modelDigest })),
      );
  }

  /** What it last said of its update. */
  get told() {
    const [last] = this.#up("reported").slice(-1);
    const reported = last && DeviceReported.decodeSingleObject(last);
    const { phase, code } = reported?.update ?? {};
    return { phase, code, digest: reported?.slots.perception?.modelDigest };
  }

  async says(phase: string): Promise<void> {
    await waitFor(() => this.told.phase === phase, { what: phase });
  }

  async answersBy(digest: string, more = 10): Promise<void> {
    const before = this.predictions.length;
    const since = () => this.predictions.slice(before).filter(({ by }) => by === digest);
    await waitFor(() => since().length >= more, { what: `${more} answers by ${digest[0]}` });
  }

  #up(stream: "predictions" | "reported"): readonly Buffer[] {
    return this.#broker.received.filter(({ topic }) => topic === topics.up(DEVICE, stream)).map((one) => one.payload);
  }
}

let broker: TinyBroker;
let world: World;

beforeEach(async () => {
  broker = await TinyBroker.open();
  world = new World(await loadPackage(`${repositoryRoot}/models/edge-resnet8`), broker);
  await world.device.start();
});
afterEach(async () => {
  await world.device.stop();
  await broker.close();
  expect([world.good.askedUnheld, world.trial.askedUnheld]).toEqual([0, 0]);
});

describe("a light device", () => {
  test("D4: whatever it answers is sent under the digest of who answered, over a switch and a way back", async () => {
    world.good.answerMs = 30; // One is at work whenever it is switched.
    world.trial.answerMs = 30;
    await world.answersBy(GOOD);
    await world.want(1_000_000);
    await world.says("PROBATION");
    await world.answersBy(TRIAL);
    world.trial.losses = 1;
    await world.says("REVERTED");
    await world.answersBy(GOOD);
    expect(world.predictions.filter(({ by, sentAs }) => by !== sentAs)).toEqual([]);
  });

  test("D5: it goes back at once and loads nothing for it; what was on trial is let go", async () => {
    await world.want(1_000_000);
    await world.says("PROBATION");
    world.isDiskGone = true;
    expect([world.good.holders, world.trial.holders]).toEqual([1, 1]);
    world.trial.losses = 1;
    await world.says("REVERTED");
    expect(world.told).toEqual({ phase: "REVERTED", code: "model-crashed", digest: GOOD });
    const { asked } = world.trial;
    await world.answersBy(GOOD);
    expect([world.trial.asked, world.good.holders, world.trial.holders]).toEqual([asked, 1, 0]);
  });

  test("D5: committed, the one before is let go", async () => {
    await world.want(5);
    await world.says("COMMITTED");
    await world.answersBy(TRIAL);
    expect([world.told.digest, world.good.holders, world.trial.holders]).toEqual([TRIAL, 0, 1]);
    world.trial.losses = 1; // As any model's: its next child has answered.
    await world.answersBy(TRIAL);
    expect(world.told.phase).toBe("COMMITTED");
  });

  test("D5: one on trial that cannot take this camera's pictures is left; the good one answers them", async () => {
    world.trial.refusal = "image-size-wrong";
    await world.want(5);
    await world.says("REVERTED");
    await world.answersBy(GOOD);
    expect(world.told).toEqual({ phase: "REVERTED", code: "image-size-wrong", digest: GOOD });
    expect([world.trial.asked, world.trial.holders]).toEqual([1, 0]);
  });

  test("D5: pictures that neither can take tell against nobody", async () => {
    await world.want(1_000_000);
    await world.says("PROBATION");
    world.good.refusal = "image-undecodable";
    world.trial.refusal = "image-undecodable";
    const { asked } = world.good;
    await waitFor(() => world.good.asked > asked + 5, { what: "frames that the good one was asked for" });
    world.trial.refusal = null;
    await world.answersBy(TRIAL);
    expect(world.told.phase).toBe("PROBATION");
  });

  test.each([
    ["cannot take a picture that was answered", { refusal: "image-size-wrong" }, "image-size-wrong"],
    ["loses its process", { losses: 1 }, "model-crashed"],
  ])("a shadow that %s is refused, and let go", async (_, fault, code) => {
    Object.assign(world.trial, fault);
    await world.want(5, 3);
    await world.says("REFUSED");
    expect(world.told).toEqual({ phase: "REFUSED", code, digest: GOOD });
    await world.answersBy(GOOD);
    expect([world.trial.asked, world.trial.holders]).toEqual([1, 0]);
  });
});
