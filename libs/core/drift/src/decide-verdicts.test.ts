import { describe, expect, test } from "@jest/globals";
import type { DeviceReported, DriftVerdict } from "@tributary/contracts";
import { appearanceOf, GRID_SUMS, pictureChange } from "@tributary/inference";
import type { CameraDays } from "./findings.ts";
import {
  type CameraDrift,
  type DeviceFindings,
  decideVerdicts,
  FleetView,
  type VerdictSettings,
  verdictDefaults,
} from "./index.ts";
import {
  attributesOf,
  cameraFaults,
  type DeviceCase,
  DIGEST,
  DriftingFleet,
  deviceId,
  goldenLogits,
  hash,
  reference,
  registration,
  report,
  START,
  WINDOW_MS,
} from "./testing/drifting-fleet.ts";

const HOUR = 3_600_000;
const settings: VerdictSettings = { ...verdictDefaults, settleMs: 5 * WINDOW_MS, holdMs: 0 };

/** Keeps verdicts as the service does. */
class Writer {
  readonly verdicts = new Map<string, DriftVerdict>();
  readonly opened = new Set<string>();

  look(view: FleetView, now: number): readonly DriftVerdict[] {
    const changed = decideVerdicts(view, this.verdicts, now, settings, hash);
    for (const verdict of changed) {
      this.verdicts.set(verdict.verdictId, verdict);
      this.opened.add(nameOf(verdict));
    }
    return changed;
  }

  get open(): readonly DriftVerdict[] {
    const open = [...this.verdicts.values()].filter(({ state }) => state === "OPEN");
    return open.sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1));
  }
}

const nameOf = ({ cause, fault, scopeKey, scopeValue }: DriftVerdict): string =>
  [cause, fault, scopeKey, scopeValue].filter((word) => word !== "").join(" ");
const namesOf = (writer: Writer) => writer.open.map(nameOf);
const devicesWhere = (is: (i: number) => boolean) =>
  Array.from({ length: 40 }, (_, i) => i)
    .filter(is)
    .map(deviceId);

describe("a simulated fleet", () => {
  const CHANGE = 45;
  const WINDOWS = CHANGE + 54;

  /** Show 1 of the issue: four things at once, and sites where nothing happens. */
  const fiveCases = (i: number, window: number): DeviceCase => {
    if (window < CHANGE) return {};
    const { site, lens, agentVersion } = attributesOf(i);
    if (lens === "acme-2") return { fault: "channels-swapped", errorRate: 0.5 };
    if (agentVersion === "1.4.0") return { pipeline: "not-rescaled", fault: "glare" };
    if (site === "north") return { fault: "dark" };
    return site === "south" ? { mix: [0.85, 0.05, 0.05, 0.05] } : {};
  };

  function run(seed: number, each: number, restartEach: number): Writer {
    const fleet = new DriftingFleet(40, seed, fiveCases);
    const writer = new Writer();
    const order = Array.from({ length: 40 }, (_, i) => (i * 17 * each) % 41).filter((i) => i < 40);
    for (let window = 1; window <= WINDOWS; window++) {
      fleet.step();
      if (window % restartEach === 0) fleet.restart();
      if (window < CHANGE || window % each !== 0) continue;
      const view = new FleetView();
      fleet.showTo(view, order.length === 40 ? order : undefined);
      writer.look(view, fleet.now);
    }
    return writer;
  }

  test.each([1, 2])("seed %d: five cases at once get four right verdicts, whoever looks and however often", (seed) => {
    const writer = run(seed, 3, 1_000);
    const expected = [
      "CAMERA channels-swapped label:lens acme-2",
      "LABEL_SHIFT site south",
      "PREPROCESSING not-rescaled agentVersion 1.4.0",
      "WORLD dark site north",
    ];
    expect(namesOf(writer)).toEqual(expected);
    expect([...writer.opened].sort()).toEqual(expected);
    const devices = writer.open.map((verdict) => verdict.devices.map((device) => device.deviceId));
    expect(devices).toEqual([
      devicesWhere((i) => attributesOf(i).lens === "acme-2"),
      devicesWhere((i) => attributesOf(i).site === "south"),
      devicesWhere((i) => attributesOf(i).agentVersion === "1.4.0"),
      devicesWhere((i) => attributesOf(i).site === "north"),
    ]);
    const [swapped, mix, , dark] = writer.open as [DriftVerdict, DriftVerdict, DriftVerdict, DriftVerdict];
    expect(swapped.loss.state).toBe("LOST");
    expect(swapped.retrain).toBe(false);
    expect(swapped.summary).toMatch(
      /^Channels swapped in 3 cameras with label lens=acme-2 since .* UTC; accuracy fell by \d+ points on \d+ labelled frames$/,
    );
    expect(Math.abs(swapped.since - (START + CHANGE * WINDOW_MS))).toBeLessThan(6 * WINDOW_MS);
    expect(mix.mix.cat?.before).toBeCloseTo(0.25, 0.5);
    expect(mix.mix.cat?.now).toBeGreaterThan(0.6);
    expect(dark.features.slice(0, 4).map(({ feature }) => feature)).toContain("luminance");
    expect(dark.timeline.length).toBeGreaterThan(10);
    expect(dark.steps.filter(({ isCause }) => isCause).map(({ question }) => question)).toEqual([
      "Which cause explains it?",
    ]);

    if (seed > 1) return;
    const killed = run(seed, 9, 11);
    const lasting = (of: Writer) =>
      of.open.map(({ since, devicesAffected, verdictId }) => ({ since, devicesAffected, verdictId }));
    expect(lasting(killed)).toEqual(lasting(writer));
    expect([...killed.opened].sort()).toEqual(expected);
  });
});

/** A view of devices that drift as one says, without simulating their windows. */
class Scene {
  readonly view = new FleetView();
  readonly writer = new Writer();
  now = START + 24 * HOUR;

  constructor(devices = 40) {
    this.view.package(DIGEST, reference);
    for (let i = 0; i < devices; i++) {
      this.view.registered(deviceId(i), registration(i));
      this.view.reported(deviceId(i), report(i, START), START);
      this.clean(i);
    }
  }

  clean(i: number, change: Partial<DeviceFindings["cameras"][number]> = {}): void {
    const camera = {
      cameraId: "front",
      modelDigest: DIGEST,
      windowMs: WINDOW_MS,
      endedAt: this.now,
      isCompared: true,
      recent: change.drift?.shifts ?? reference.streams.map(() => 0),
      drift: null,
    };
    this.view.found(deviceId(i), {
      deviceId: deviceId(i),
      cameras: [{ ...camera, ...change }],
      draws: [],
      drawsDigest: "",
    });
  }

  drift(
    i: number,
    shifts: Readonly<Record<string, number>>,
    ageMs = HOUR,
    within: readonly number[] | null = null,
    days: CameraDays | undefined = undefined,
  ): void {
    const since = this.now - ageMs;
    const drift: CameraDrift = {
      since,
      alarmedAt: since,
      frames: 1_000,
      before: reference.streams.map(() => 0.5),
      shifts: reference.streams.map(({ name }) => shifts[name] ?? 0),
      alarms: [{ stream: 3, since, alarmedAt: since, logEvidence: 20, counts: new Float64Array(32).fill(1) }],
      history: [{ at: since, shifts: reference.streams.map(() => 0.1) }],
      picture: within && {
        changes: pictureChange(STILL, STILL),
        within: { shifts: within, frames: 1_000 },
      },
    };
    this.clean(i, { drift, days });
  }

  /** All other devices go on as before. */
  others(devices: readonly number[]): void {
    for (let i = 0; i < 40; i++) if (!devices.includes(i)) this.clean(i);
  }

  look(): readonly string[] {
    this.writer.look(this.view, this.now);
    return namesOf(this.writer);
  }
}

const at = (site: string) => Array.from({ length: 40 }, (_, i) => i).filter((i) => attributesOf(i).site === site);

const STILL = appearanceOf(new Float64Array(GRID_SUMS).fill(50), 1, 90, [["standard/2x2/standard", 1]]);

/** What the mix of classes does to each stream if one class becomes more frequent by so much. */
function mixShift(more: number): Readonly<Record<string, number>> {
  const { confusion, streams, labels } = reference;
  const change = labels.map((_, c) => (c === 0 ? more : -more / (labels.length - 1)));
  return Object.fromEntries(
    streams.map(({ name }) => {
      const means = confusion?.means[name] ?? [];
      const predicted = labels.indexOf(name.slice("label:".length));
      const ofClass = (c: number) =>
        predicted < 0 ? (means[c] ?? 0) : ((confusion?.counts[c]?.[predicted] ?? 0) as number) / 100;
      return [name, change.reduce((sum, share, c) => sum + share * ofClass(c), 0)];
    }),
  );
}

describe("days make no verdict of cameras that are compared by parts of the day (beyond-days.ts)", () => {
  const north = at("north");
  const daysOf = (last: Readonly<Record<string, number>>, part = 1): CameraDays => ({
    last: reference.streams.map(({ name }) => part * (last[name] ?? 0)),
    deviations: reference.streams.map(() => 0.05),
  });
  /** All of the north are alarmed; the first one's last day is its own. */
  const verdictsOf = (first: CameraDays, others: CameraDays) => {
    const scene = new Scene();
    for (const i of north) scene.drift(i, cameraFaults.dark, HOUR, null, i === north[0] ? first : others);
    return scene.look();
  };

  test("a site's weather is none, unless it is more than its days differ by (B2)", () => {
    expect(verdictsOf(daysOf(cameraFaults.dark, 0.3), daysOf(cameraFaults.dark, 0.3))).toEqual([]);
    expect(verdictsOf(daysOf(cameraFaults.dark), daysOf(cameraFaults.dark))).toEqual(["WORLD dark site north"]);
  });

  test("a camera whose day differs from its neighbours' has changed by itself, by what they do not share (B1)", () => {
    const glare: Readonly<Record<string, number>> = cameraFaults.glare;
    const dark: Readonly<Record<string, number>> = cameraFaults.dark;
    const both = Object.fromEntries(
      reference.streams.map(({ name }) => [name, (dark[name] ?? 0) + 0.1 * (glare[name] ?? 0)]),
    );
    expect(verdictsOf(daysOf(both), daysOf(glare, 0.1))).toEqual(["CAMERA dark camera cam-00/front"]);
    expect(verdictsOf(daysOf(dark, 0.2), daysOf({}))).toEqual([]);
  });

  test("nor is anything known before a whole day was compared (B3)", () => {
    expect(verdictsOf({ ...daysOf({}), last: null }, daysOf({}))).toEqual([]);
  });

  test("what opened stays, at its place, until the last day is nearly as before, and opens again for no less than it did (B4)", () => {
    const scene = new Scene();
    const seen = [0.3, 1, 0.3, 0.05, 0.3].map((part) => {
      for (const i of north) {
        scene.drift(i, cameraFaults.dark, HOUR, null, daysOf(i === north[0] ? cameraFaults.dark : {}, part));
      }
      return scene.look();
    });
    const ofFirst = ["CAMERA dark camera cam-00/front"];
    expect(seen).toEqual([[], ofFirst, ofFirst, [], []]);
  });

  test("a camera that has a verdict keeps it beside others that change alike later (I3)", () => {
    const scene = new Scene();
    const show = (devices: readonly number[]) => {
      scene.others(devices);
      for (const i of devices) scene.drift(i, cameraFaults.dark, HOUR, null, daysOf(cameraFaults.dark));
      return scene.look();
    };
    const [first] = show([0]);
    expect(show([0, 13, 26, 33])).toContain(first);
    expect(scene.writer.open.map(({ devicesAffected }) => devicesAffected).sort()).toEqual([1, 3]);
  });
});

describe("causes compete", () => {
  test("a mix of classes is refuted by pictures of the same predicted class that changed", () => {
    const causeWith = (within: readonly number[] | null) => {
      const scene = new Scene();
      for (const i of at("south")) scene.drift(i, mixShift(0.5), HOUR, within);
      scene.look();
      return scene.writer.open.map((verdict) => [
        verdict.cause,
        verdict.steps.find(({ question }) => question === "Is it only the mix of classes?")?.answer,
      ]);
    };
    expect(causeWith(null)).toMatchObject([["LABEL_SHIFT", expect.stringContaining("explains")]]);
    expect(causeWith([0.01, -0.01, 0])).toMatchObject([["LABEL_SHIFT", expect.anything()]]);
    expect(causeWith([-0.3, 0.2, 0.1])).toMatchObject([
      ["WORLD", expect.stringMatching(/^no: pictures of the same predicted class changed by/)],
    ]);
  });

  test("a camera without others at its site is not known to be faulty by its light alone, but by what only cameras have", () => {
    const alone = (fault: Readonly<Record<string, number>>) => {
      const scene = new Scene();
      for (const i of at("north").slice(1)) scene.clean(i, { isCompared: false, recent: null });
      scene.drift(0, fault);
      return scene.look();
    };
    expect(alone(cameraFaults.dark)).toEqual(["UNKNOWN dark camera cam-00/front"]);
    expect(alone(cameraFaults["channels-swapped"])).toEqual(["CAMERA channels-swapped camera cam-00/front"]);
  });

  test("a camera that is alarmed alone is of its site if the others changed as it did (input-groups.ts I2)", () => {
    const lookWith = (part: number) => {
      const scene = new Scene();
      const dark: Readonly<Record<string, number>> = cameraFaults.dark;
      const recent = reference.streams.map(({ name }) => part * (dark[name] ?? 0));
      for (const i of at("north")) scene.clean(i, { recent });
      scene.drift(0, dark);
      return scene.look();
    };
    expect(lookWith(0.6)).toEqual(["WORLD dark site north"]);
    expect(lookWith(0.1)).toEqual(["CAMERA dark camera cam-00/front"]);
  });

  test("devices that share their software changed by it, though their golden frames are right", () => {
    const scene = new Scene();
    for (const i of [20, 23, 31, 36, 39]) scene.drift(i, cameraFaults.glare);
    expect(scene.look()).toEqual(["PREPROCESSING glare agentVersion 1.4.0"]);
    expect(scene.writer.open[0]?.retrain).toBe(false);
  });
});

describe("places", () => {
  test("the same at two sites at once is one verdict for each", () => {
    const scene = new Scene();
    for (const i of [...at("north"), ...at("south")]) scene.drift(i, cameraFaults.dark);
    expect(scene.look()).toEqual(["WORLD dark site north", "WORLD dark site south"]);
  });

  test("what happens to all devices is the fleet's", () => {
    const scene = new Scene();
    for (let i = 0; i < 40; i++) scene.drift(i, cameraFaults.dark);
    expect(scene.look()).toEqual(["WORLD dark fleet"]);
    expect(scene.writer.open[0]).toMatchObject({ devicesAffected: 40, devicesInScope: 40 });
  });

  test("a single camera is a camera, and a stray one does not spoil its site's verdict", () => {
    const scene = new Scene();
    for (const i of at("north")) scene.drift(i, cameraFaults.dark);
    scene.drift(25, cameraFaults.dark);
    scene.drift(33, cameraFaults["channels-swapped"]);
    expect(scene.look()).toEqual([
      "CAMERA channels-swapped camera cam-33/front",
      "CAMERA dark camera cam-25/front",
      "WORLD dark site north",
    ]);
  });

  test("a camera of the site that changed somewhat differently belongs to it, unless its sensor explains it", () => {
    const scene = new Scene();
    for (const i of at("north")) scene.drift(i, cameraFaults.dark);
    scene.drift(4, { ...cameraFaults.dark, channel_mean_r: 0.05, channel_mean_b: 0.05 });
    scene.drift(5, cameraFaults["channels-swapped"]);
    expect(scene.look()).toEqual(["CAMERA channels-swapped camera cam-05/front", "WORLD dark site north"]);
    expect(scene.writer.open[1]?.devicesAffected).toBe(9);
  });

  test("the fault of a sensor on devices with nothing in common is one verdict", () => {
    const scene = new Scene();
    for (const i of [3, 18, 31]) scene.drift(i, cameraFaults["channels-swapped"]);
    expect(scene.look()).toEqual(["CAMERA channels-swapped devices"]);
  });
});

describe("a verdict's life", () => {
  test("it waits for the others of its group, and does not appear as single cameras first", () => {
    const scene = new Scene();
    for (const i of at("north")) {
      scene.drift(i, cameraFaults.dark, 0);
      expect(scene.look()).toEqual([]);
      scene.now += settings.settleMs / 15;
    }
    scene.now += settings.settleMs / 2;
    scene.others(at("north"));
    expect(scene.look()).toEqual(["WORLD dark site north"]);
  });

  test("it is published again for news, not for every look", () => {
    const scene = new Scene();
    for (const i of at("north").slice(2)) scene.drift(i, cameraFaults.dark);
    expect(scene.look()).toHaveLength(1);
    scene.now += 1_000;
    expect(scene.writer.look(scene.view, scene.now)).toEqual([]);
    scene.drift(0, cameraFaults.dark);
    expect(scene.writer.look(scene.view, scene.now)).toMatchObject([{ version: 2n, devicesAffected: 9 }]);
  });

  test("a wider one supersedes it", () => {
    const scene = new Scene();
    scene.drift(0, cameraFaults.dark);
    expect(scene.look()).toEqual(["CAMERA dark camera cam-00/front"]);
    for (const i of at("north")) scene.drift(i, cameraFaults.dark);
    expect(scene.look()).toEqual(["WORLD dark site north"]);
    const [closed] = [...scene.writer.verdicts.values()].filter(({ state }) => state === "CLOSED");
    expect(closed?.closedBecause).toBe(`superseded by ${scene.writer.open[0]?.verdictId}`);
  });

  test.each<[string, (scene: Scene, i: number) => void, string]>([
    ["inputs are as before", (scene, i) => scene.clean(i), "its inputs are as before again"],
    [
      "devices are revoked",
      ({ view }, i) => view.registered(deviceId(i), registration(i, "REVOKED")),
      "its devices were revoked",
    ],
    [
      "devices are gone",
      ({ view }, i) => view.registered(deviceId(i), null),
      "its devices are not registered any more",
    ],
    [
      "cameras vanish",
      (scene) => {
        scene.now += HOUR;
      },
      "its cameras send no windows any more",
    ],
    [
      "a rollout",
      ({ view }, i) => view.reported(deviceId(i), withDigest(i, "ef".repeat(32)), START),
      "its devices run another model now",
    ],
  ])("it closes when %s, and keeps its id if it opens again", (_, end, because) => {
    const scene = new Scene();
    for (const i of at("north")) scene.drift(i, cameraFaults.dark);
    scene.look();
    for (const i of at("north")) end(scene, i);
    scene.others(at("north"));
    expect(scene.look()).toEqual([]);
    const [closed] = scene.writer.verdicts.values();
    expect(closed).toMatchObject({ state: "CLOSED", closedAt: scene.now, closedBecause: because, version: 2n });
    for (const i of at("north")) {
      scene.view.registered(deviceId(i), registration(i));
      scene.view.reported(deviceId(i), report(i, START), START);
      scene.drift(i, cameraFaults.dark);
    }
    scene.look();
    expect(scene.writer.open).toMatchObject([{ verdictId: closed?.verdictId, version: 3n, closedBecause: "" }]);
  });
});

const withDigest = (i: number, modelDigest: string): DeviceReported => {
  const reported = report(i, START);
  return { ...reported, slots: { perception: { modelDigest, modelName: "animals", modelVersion: "4" } } };
};

describe("golden reports", () => {
  const failing = (change: Partial<NonNullable<DeviceReported["golden"]>>): readonly [Scene, string] => {
    const scene = new Scene();
    const reported = report(7, START, "nearest");
    const golden = { ...(reported.golden as NonNullable<DeviceReported["golden"]>), ...change };
    const outcome = scene.view.reported(deviceId(7), { ...reported, golden }, START);
    scene.look();
    return [scene, outcome];
  };

  test.each<[string, Parameters<typeof failing>[0], string, string[]]>([
    ["one fault", {}, "failed", ["PREPROCESSING nearest device cam-07"]],
    ["a fault that the device did not notice", { failed: 0 }, "failed", ["PREPROCESSING nearest device cam-07"]],
    ["an unknown fault", { logits: goldenLogits().map((logit) => -logit) }, "failed", ["PREPROCESSING device cam-07"]],
    ["no logits", { logits: [] }, "failed", ["PREPROCESSING device cam-07"]],
    ["all is well", { failed: 0, logits: goldenLogits() }, "passed", []],
    ["another package's frames", { modelDigest: "ef".repeat(32) }, "digest-foreign", []],
    ["logits that are no numbers", { failed: 0, logits: goldenLogits().map(() => Number.NaN) }, "logits-invalid", []],
    ["too few logits", { failed: 0, logits: [1, 2] }, "logits-invalid", []],
    ["no frames", { frames: 0, failed: 0, logits: [] }, "not-reported", []],
  ])("%s", (_, change, outcome, verdicts) => {
    const [scene, found] = failing(change);
    expect([found, namesOf(scene.writer)]).toEqual([outcome, verdicts]);
  });

  test("a later report of the same failure does not move its onset", () => {
    const [scene] = failing({});
    const { since } = scene.writer.open[0] as DriftVerdict;
    scene.view.reported(deviceId(7), report(7, scene.now, "nearest"), scene.now);
    scene.now += HOUR;
    for (let i = 0; i < 40; i++) scene.clean(i);
    scene.look();
    expect(scene.writer.open).toMatchObject([{ since, devices: [{ deviceId: deviceId(7), cameras: [] }] }]);
  });
});

test("a model that loses frames while its inputs look the same is wrong at that site", () => {
  const scene = new Scene();
  const show = (i: number, errors: number) => {
    const draws = Array.from({ length: 60 }, (_, k) => ({
      cameraId: "front",
      at: START + (k * HOUR) / 4,
      propensity: 0.01,
      truth: k % 4,
      loss: k >= 30 && k % 10 < errors,
    }));
    const camera = {
      cameraId: "front",
      modelDigest: DIGEST,
      windowMs: WINDOW_MS,
      endedAt: scene.now,
      isCompared: true,
      recent: null,
      drift: null,
    };
    scene.view.found(deviceId(i), { deviceId: deviceId(i), cameras: [camera], draws, drawsDigest: DIGEST });
  };
  for (let i = 0; i < 40; i++) show(i, attributesOf(i).site === "east" ? 7 : 1);
  expect(scene.look()).toEqual(["CONCEPT site east"]);
  const [verdict] = scene.writer.open;
  expect(verdict).toMatchObject({ retrain: true, devicesAffected: 10, since: START + (30 * HOUR) / 4 });
});
