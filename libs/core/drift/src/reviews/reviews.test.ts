/** What becomes of verdicts and baselines when people answer: a fleet that drifts, and records as Kafka has them. */
import { describe, expect, test } from "@jest/globals";
import type { DriftReview, DriftVerdict, DriftVerdictReview } from "@tributary/contracts";
import { decideReviewedVerdicts, FleetView, openByCause, type VerdictSettings, verdictDefaults } from "../index.ts";
import {
  attributesOf,
  type DeviceCase,
  DriftingFleet,
  registration,
  START,
  WINDOW_MS,
} from "../testing/drifting-fleet.ts";
import { DriftReviews } from "./drift-reviews.ts";

const settings: VerdictSettings = { ...verdictDefaults, settleMs: 3 * WINDOW_MS, holdMs: 0 };
const hash = (text: string): string => Buffer.from(text).toString("hex").slice(0, 400);
const DEVICES = 20;
/** The end of the baseline, and of that which is learned after a review; windows until a change alarms. */
const [BASELINE, ALARM] = [45, 30];

/** A fleet that is looked at after each window by somebody who knows nothing but what is stored. */
class Watched {
  readonly fleet: DriftingFleet;
  readonly verdicts = new Map<string, DriftVerdict>();
  readonly history: string[] = [];
  #offset = 0n;

  constructor(caseOf: (i: number, window: number) => DeviceCase) {
    this.fleet = new DriftingFleet(DEVICES, 1, caseOf);
  }

  run(windows: number, restartEach = 1_000): this {
    for (let window = 1; window <= windows; window++) {
      this.fleet.step();
      if (window % restartEach === 0) this.fleet.restart();
      if (this.fleet.now > START + BASELINE * WINDOW_MS) this.look();
    }
    return this;
  }

  look(now = this.fleet.now): readonly DriftVerdict[] {
    const view = new FleetView(this.fleet.reviews);
    this.fleet.showTo(view);
    const changed = decideReviewedVerdicts(view, this.verdicts, this.fleet.reviews, now, settings, hash);
    for (const verdict of changed) {
      const { state, cause, fault, scopeValue, closedBecause } = verdict;
      if (this.verdicts.get(verdict.verdictId)?.state !== state) {
        this.history.push([state, cause, fault, scopeValue, closedBecause].filter((word) => word !== "").join(" "));
      }
      this.verdicts.set(verdict.verdictId, verdict);
    }
    return changed;
  }

  get open(): readonly DriftVerdict[] {
    return [...this.verdicts.values()].filter(({ state }) => state === "OPEN");
  }

  get first(): DriftVerdict {
    return [...this.verdicts.values()][0] as DriftVerdict;
  }

  /** As the gateway writes it. */
  review(
    kind: DriftReview["kind"],
    change: Partial<DriftReview> = {},
    { verdictId, openedAt, version, cause, devices } = this.first,
  ): DriftReview {
    const offset = this.#offset++;
    const review: DriftReview = {
      ...{ verdictId, openedAt, version, kind, by: "ann", reviewedAt: this.fleet.now, reviewId: `${kind}-${offset}` },
      ...{ cause: "UNKNOWN", fault: "", until: null, note: "", found: cause },
      devices: kind === "ACCEPT" ? devices.map(({ deviceId, cameras }) => ({ deviceId, cameras })) : [],
      ...change,
    };
    this.fleet.reviews.take(review, { offset, at: this.fleet.now });
    return review;
  }
}

const north = (i: number) => attributesOf(i).site === "north";
const dark = (i: number, window: number): DeviceCase => (north(i) && window >= BASELINE ? { fault: "dark" } : {});
/** It loses frames once its cameras have alarmed. */
const dusk = (i: number, window: number): DeviceCase => {
  const isLost = north(i) && window >= BASELINE + ALARM - 5;
  return { ...dark(i, window), ...(isLost && { errorRate: 0.9 }) };
};
const darkened = (caseOf = dark) => new Watched(caseOf).run(BASELINE + ALARM);
const atDusk = () => darkened(dusk).run(10);

describe("accept", () => {
  test("closes the verdict for good: the cameras learn anew once, wherever their states are, and what comes later opens another", () => {
    const glare = (i: number, window: number): DeviceCase =>
      north(i) && window >= 2 * BASELINE + ALARM + 20 ? { fault: "glare" } : dark(i, window);
    const run = (restartEach: number) => {
      const watched = new Watched(glare).run(BASELINE + ALARM);
      expect(watched.history).toEqual(["OPEN WORLD dark north"]);
      const review = watched.review("ACCEPT");
      watched.look(); // no window has come since
      expect(watched.history.at(-1)).toBe("CLOSED WORLD dark north accepted by ann");
      watched.run(BASELINE + 10, restartEach);
      watched.fleet.reviews.take(review, { offset: 77n, at: watched.fleet.now }); // sent twice
      watched.run(ALARM + 10, restartEach);
      return watched;
    };
    const watched = run(1_000);
    expect(watched.history.slice(2).join()).toMatch(/^OPEN WORLD (glare )?north$/);
    expect(watched.open).toMatchObject([{ review: null }]);
    const onset = START + (2 * BASELINE + ALARM + 20) * WINDOW_MS;
    expect(Math.abs((watched.open[0]?.since ?? 0) - onset)).toBeLessThan(8 * WINDOW_MS);
    const killed = run(7);
    expect(killed.history).toEqual(watched.history);
    expect(killed.fleet.states.map((state) => state.encode())).toEqual(
      watched.fleet.states.map((state) => state.encode()),
    );
  });

  test("is about the cameras that its version lists: those that joined keep the verdict open", () => {
    const watched = darkened();
    const [last] = watched.first.devices.slice(-1);
    const devices = watched.first.devices.slice(0, -1).map(({ deviceId, cameras }) => ({ deviceId, cameras }));
    watched.review("ACCEPT", { devices });
    watched.run(4 + BASELINE);
    expect(watched.open.map((one) => one.devices.map(({ deviceId }) => deviceId))).toEqual([[last?.deviceId]]);
    const closed = watched.history.filter((line) => line.endsWith("accepted by ann"));
    expect(closed).toEqual(["CLOSED WORLD dark north accepted by ann"]);
  });

  test("is withdrawn while the cameras learn: they return to the baseline before, and the verdict opens again", () => {
    const accepted = darkened();
    const { devices, version } = accepted.review("ACCEPT");
    accepted.run(10, 3);
    expect(accepted.open).toEqual([]);
    accepted.review("WITHDRAW", { devices, version });
    accepted.run(3, 2);
    expect(accepted.history.slice(1)).toEqual(["CLOSED WORLD dark north accepted by ann", "OPEN WORLD dark north"]);
    expect(accepted.open).toMatchObject([{ review: null, devicesAffected: 10 }]);

    const learned = darkened();
    learned.review("ACCEPT");
    learned.run(BASELINE + 5);
    learned.review("WITHDRAW", { devices });
    learned.run(5);
    expect(learned.open).toEqual([]); // The baseline before is gone.
  });

  test("counts for windows that ended after it (accepted-baselines.ts A1)", () => {
    const watched = darkened();
    const { devices } = watched.first;
    const at = watched.fleet.now + 2 * WINDOW_MS;
    const cameras = devices.map(({ deviceId, cameras }) => ({ deviceId, cameras }));
    watched.fleet.reviews.take({ ...watched.review("KNOWN"), kind: "ACCEPT", devices: cameras }, { offset: 9n, at });
    const applied = () => watched.fleet.states[0]?.findings().cameras[0]?.applied?.offset;
    expect([watched.run(2), applied()]).toEqual([watched, undefined]);
    expect([watched.run(1), applied()]).toEqual([watched, 9n]);
  });

  test("is about inputs: what their loss shows after it is a verdict of its own", () => {
    const watched = atDusk();
    watched.review("ACCEPT");
    watched.run(BASELINE + 5);
    expect(watched.history.slice(1)).toEqual(["CLOSED WORLD dark north accepted by ann", "OPEN CONCEPT north"]);
  });

  test("of devices that were revoked has no effect, and closes the verdict all the same", () => {
    const watched = darkened();
    watched.review("ACCEPT");
    const view = new FleetView(watched.fleet.reviews);
    watched.fleet.showTo(view);
    for (const { deviceId } of watched.first.devices) {
      view.registered(deviceId, registration(Number(deviceId.slice(4)), "REVOKED"));
    }
    const { verdicts, fleet } = watched;
    const [closed] = decideReviewedVerdicts(view, verdicts, fleet.reviews, fleet.now, settings, hash);
    expect(closed).toMatchObject({ state: "CLOSED", closedBecause: "accepted by ann", review: { kind: "ACCEPT" } });
  });
});

describe("the answer of a person", () => {
  test("a corrected cause holds while the verdict is open, beside the one that was found, and the next opening is unanswered", () => {
    const watched = atDusk();
    expect(watched.first).toMatchObject({ cause: "WORLD", retrain: true, review: null });
    watched.review("CORRECT", { cause: "CAMERA", fault: "dark" });
    const [changed] = watched.look();
    expect(changed).toMatchObject({
      cause: "WORLD",
      retrain: false,
      review: { kind: "CORRECT", cause: "CAMERA", by: "ann" },
    });
    expect(openByCause(watched.verdicts.values(), watched.fleet.now).unexpected).toEqual(new Map([["CAMERA", 1]]));
    expect(watched.look()).toEqual([]); // It is no news again.
    watched.review("WITHDRAW");
    expect(watched.look()).toMatchObject([{ retrain: true, review: { kind: "WITHDRAW" } }]);
    watched.verdicts.set(watched.first.verdictId, { ...watched.first, state: "CLOSED" });
    expect(watched.look()).toMatchObject([{ state: "OPEN", retrain: true, review: null }]);
  });

  test("a known one is quiet until its date, and as before after it", () => {
    const watched = atDusk();
    const until = watched.fleet.now + 2 * WINDOW_MS;
    watched.review("KNOWN", { until });
    expect(watched.look()).toMatchObject([{ state: "OPEN", retrain: false }]);
    const { now } = watched.fleet;
    expect(openByCause(watched.verdicts.values(), now)).toEqual({
      unexpected: new Map(),
      known: new Map([["WORLD", 1]]),
    });
    expect(watched.look(until)).toMatchObject([{ state: "OPEN", retrain: true }]);
    expect(openByCause(watched.verdicts.values(), until).unexpected).toEqual(new Map([["WORLD", 1]]));
  });

  test("that comes as the verdict has closed is shown with it, and changes nothing else", () => {
    const watched = atDusk();
    const closed: DriftVerdict = {
      ...watched.first,
      state: "CLOSED",
      closedAt: 1,
      closedBecause: "its inputs are as before again",
    };
    watched.review("CORRECT", { cause: "CAMERA" });
    const none = new FleetView(watched.fleet.reviews);
    const verdicts = new Map([[closed.verdictId, closed]]);
    const [changed, ...others] = decideReviewedVerdicts(none, verdicts, watched.fleet.reviews, 2, settings, hash);
    expect(others).toEqual([]);
    const { review, version, updatedAt, ...rest } = changed as DriftVerdict;
    expect([review?.cause, version, updatedAt]).toEqual(["CAMERA", closed.version + 1n, 2]);
    expect(closed).toMatchObject(rest);
  });
});

describe("reviews as a fold", () => {
  const watched = atDusk();
  const of = (kind: DriftReview["kind"], change: Partial<DriftReview> = {}) => watched.review(kind, change);
  const log = [
    of("ACCEPT"),
    of("CORRECT", { cause: "CAMERA" }),
    of("CORRECT", { cause: "LABEL_SHIFT" }),
    of("KNOWN", { until: 9 }),
  ];

  test("the highest offset holds, in whatever order and however often they are taken (R1)", () => {
    for (const order of [
      [0, 1, 2, 3],
      [3, 2, 1, 0],
      [2, 0, 3, 1, 2, 0],
    ]) {
      const reviews = new DriftReviews();
      for (const i of order) reviews.take(log[i] as DriftReview, { offset: BigInt(i), at: 5 + i });
      expect(reviews.of(watched.first)).toMatchObject({ kind: "KNOWN", until: 9, offset: 3n });
      const [device] = watched.first.devices;
      expect(reviews.ofCamera(device?.deviceId ?? "", "front")).toMatchObject({ kind: "ACCEPT", offset: 0n, at: 5 });
      expect(reviews.counts()).toEqual([{ found: "WORLD", kind: "KNOWN", cause: "UNKNOWN", verdicts: 1 }]);
    }
  });

  test("a verdict keeps the newer one of its record when the log is behind or has none any more", () => {
    const reviews = new DriftReviews();
    reviews.take(log[1] as DriftReview, { offset: 1n, at: 1 });
    const review = { ...(reviews.of(watched.first) as DriftVerdictReview), kind: "KNOWN", offset: 3n } as const;
    const recorded = { ...watched.first, review };
    for (const known of [reviews, new DriftReviews()])
      expect(known.of(recorded)).toMatchObject({ kind: "KNOWN", offset: 3n });
  });

  test("they are counted by what was found and what people answered, withdrawn ones not", () => {
    const reviews = new DriftReviews();
    const take = (openedAt: number, change: Partial<DriftReview>) =>
      reviews.take({ ...(log[1] as DriftReview), openedAt, ...change }, { offset: BigInt(openedAt), at: 0 });
    take(1, {});
    take(2, {});
    take(3, { cause: "WORLD" });
    take(4, { kind: "WITHDRAW", cause: "UNKNOWN" });
    expect(reviews.counts()).toEqual([
      { found: "WORLD", kind: "CORRECT", cause: "CAMERA", verdicts: 2 },
      { found: "WORLD", kind: "CORRECT", cause: "WORLD", verdicts: 1 },
    ]);
  });

  test("what is remembered is bounded (R2)", () => {
    const reviews = new DriftReviews();
    for (let i = 0; i < 10_001; i++) {
      reviews.take({ ...(log[1] as DriftReview), verdictId: `${i}` }, { offset: BigInt(i), at: 0 });
    }
    expect(reviews.counts()[0]?.verdicts).toBe(10_000);
    expect(reviews.newest({ verdictId: "0", openedAt: watched.first.openedAt })).toBeNull();
  });
});
