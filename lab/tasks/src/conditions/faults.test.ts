import { describe, expect, test } from "@jest/globals";
import sharp from "sharp";
import { clouds, randomOf } from "./fields.ts";
import { type Fault, faults, type Moment, type Picture, worksOn } from "./index.ts";
import { withPixels } from "./picture.ts";

/** Faults whose one frame is as it would be without them. */
const isElsewhere = ({ encode, sends, mix, relabel }: Fault) => Boolean(encode ?? sends ?? mix ?? relabel);
const moment = (change: Partial<Moment> = {}): Moment => ({
  severity: 0.5,
  camera: 1,
  frame: 1,
  hour: 10,
  site: 1,
  ...change,
});
const named = (name: string) => faults.find((fault) => fault.name === name) as Fault;
const SIZES = [
  [28, 28],
  [32, 20],
  [7, 5],
] as const;

/** A bright blob on a background of many colours: no symmetry that a turn would leave as it is. */
function photo(width: number, height: number, channels: 1 | 3, seed = 1): Picture {
  const flat: Picture = { width, height, channels, data: new Uint8Array(width * height * channels) };
  const planes = Array.from({ length: channels }, (_, channel) => clouds(flat, seed * 31 + channel, 4));
  const out = new Uint8ClampedArray(flat.data.length);
  const random = randomOf("photo", seed);
  const [x, y] = [width * (0.3 + 0.2 * random()), height * (0.3 + 0.2 * random())];
  for (let i = 0; i < out.length; i++) {
    const pixel = Math.floor(i / channels);
    const away = Math.hypot((pixel % width) - x, Math.floor(pixel / width) - y) / Math.min(width, height);
    out[i] = 30 + 150 * (planes[i % channels]?.[pixel] ?? 0) + (away < 0.2 ? 70 : 0);
  }
  return withPixels(flat, out);
}

/** Whether all values are equal; Jest's own comparison of arrays is slow. */
function same(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

/** Mean difference in levels. */
function difference(a: Uint8Array, b: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += Math.abs((a[i] as number) - (b[i] as number));
  return sum / a.length;
}

describe("faults", () => {
  test("are forty: 8 of pipelines, 20 of cameras, 8 of sites, 4 of what comes before the cameras", () => {
    expect(new Set(faults.map(({ name }) => name)).size).toBe(40);
    const counts = Map.groupBy(faults, ({ cause }) => cause);
    expect([...counts].map(([cause, of]) => [cause, of.length])).toEqual([
      ["pipeline", 8],
      ["camera", 20],
      ["site", 8],
      ["mix", 2],
      ["new-class", 1],
      ["concept", 1],
    ]);
    for (const { cause, place } of faults) {
      if (cause === "pipeline") expect(place).toBe("version");
      if (cause === "camera" || cause === "site") expect(place).toBe(cause);
    }
  });

  test.each(faults.map((fault) => [fault.name, fault] as const))(
    "%s: the same seeds give the same pixels, of the same size, and the photo stays as it is",
    (_, fault) => {
      for (const [width, height] of SIZES)
        for (const channels of [1, 3] as const)
          for (const severity of [0, 0.5, 1]) {
            const before = photo(width, height, channels);
            const at = moment({ severity, camera: width, frame: height });
            const after = fault.apply(before, at);
            expect([after.width, after.height, after.channels]).toEqual([width, height, channels]);
            expect(after.data.length).toBe(width * height * channels);
            expect(same(before.data, photo(width, height, channels).data)).toBe(true);
            expect(same(fault.apply(before, at).data, after.data)).toBe(true);
          }
    },
  );

  test.each(faults.filter((fault) => !isElsewhere(fault)).map((fault) => [fault.name, fault] as const))(
    "%s: changes every picture that it works on, a grey one only where it is no matter of colour",
    (_, fault) => {
      for (const channels of [1, 3] as const)
        for (const severity of [0.01, 0.5, 1])
          for (let camera = 1; camera <= 5; camera++) {
            const before = photo(32, 32, channels, camera);
            const changed = difference(
              before.data,
              fault.apply(before, moment({ severity, camera, frame: camera })).data,
            );
            if (worksOn(fault, channels)) expect(changed).toBeGreaterThan(0.3);
            else expect(changed).toBe(0);
          }
    },
  );

  test("severe ones change more than mild ones, but for those that are either there or not", () => {
    for (const fault of faults.filter((one) => !isElsewhere(one) && !/orientation|upside|new-class/.test(one.name))) {
      let [mild, severe] = [0, 0];
      for (let seed = 1; seed <= 4; seed++) {
        const before = photo(32, 32, 3, seed);
        const of = (severity: number) =>
          difference(
            before.data,
            fault.apply(before, moment({ severity, camera: seed, frame: seed, site: seed })).data,
          );
        mild += of(0.01);
        severe += of(1);
      }
      expect([fault.name, severe > 1.3 * mild]).toEqual([fault.name, true]);
    }
  });

  test("what is on a camera stays in its place from frame to frame, and is elsewhere on another camera", () => {
    const still = ["lens-dirt", "lens-smear", "lens-scratches", "condensation", "water-drops", "cracked-glass"];
    for (const name of [...still, "dead-pixels", "knocked"]) {
      const { apply } = named(name);
      const before = photo(32, 32, 3);
      expect(same(apply(before, moment({ frame: 900 })).data, apply(before, moment()).data)).toBe(true);
      expect(difference(apply(before, moment({ camera: 2 })).data, apply(before, moment()).data)).toBeGreaterThan(0.5);
    }
  });

  test("what moves or flickers differs from frame to frame", () => {
    const moving = ["spider-web", "sensor-noise", "damaged-blocks", "vibration", "rain", "snow", "flickering-lamp"];
    for (const name of moving) {
      const { apply } = named(name);
      const before = photo(32, 32, 3);
      expect(same(apply(before, moment({ frame: 2 })).data, apply(before, moment()).data)).toBe(false);
    }
  });

  test("a pipeline's mistake is the same at every camera and site", () => {
    for (const { apply } of faults.filter(({ place }) => place === "version")) {
      const before = photo(32, 32, 3);
      expect(same(apply(before, moment({ camera: 9, site: 9, frame: 9 })).data, apply(before, moment()).data)).toBe(
        true,
      );
    }
  });

  test("a site's cameras see the same new floor and lamp, each in its own way", () => {
    for (const name of ["new-background", "new-lamp", "low-sun", "fog"]) {
      const { apply } = named(name);
      const before = photo(32, 32, 3);
      let [within, across] = [0, 0];
      for (let i = 2; i < 14; i++) {
        const other = apply(before, moment({ camera: i })).data;
        const here = apply(before, moment()).data;
        expect(same(other, here)).toBe(false);
        within += difference(other, here);
        across += difference(apply(before, moment({ camera: i, site: i })).data, here);
      }
      expect([name, across > within]).toEqual([name, true]);
    }
  });

  test("hard compression is in the JPEG, smaller and coarser the more severe", async () => {
    const { encode } = named("hard-compression");
    for (const channels of [1, 3] as const) {
      const before = photo(96, 64, channels);
      const worse: number[] = [];
      for (const severity of [0.01, 1]) {
        const jpeg = (await encode?.(before, moment({ severity }))) as Buffer;
        const { data, info } = await sharp(jpeg)
          .toColourspace(channels === 1 ? "b-w" : "srgb")
          .raw()
          .toBuffer({ resolveWithObject: true });
        expect([info.width, info.height, info.channels]).toEqual([96, 64, channels]);
        worse.push(difference(before.data, data));
      }
      expect(worse[0]).toBeGreaterThan(0.3);
      expect(worse[1]).toBeGreaterThan(1.5 * (worse[0] as number));
    }
  });

  test("a frozen camera sends one frame again and again, the longer the more severe", () => {
    const { sends } = named("frozen-frame");
    const sent = (severity: number) =>
      new Set(Array.from({ length: 120 }, (_, frame) => sends?.(moment({ severity, frame })))).size;
    expect(sent(0)).toBe(40);
    expect(sent(0.3)).toBeLessThan(10);
    expect(sent(1)).toBe(1);
    expect(sends?.(moment({ severity: 0.5, frame: 7 }))).toBeLessThanOrEqual(7);
  });

  test("one class becomes frequent, the rarest vanishes, and shares still sum to 1", () => {
    const mix = [0.5, 0.3, 0.15, 0.05, 0];
    const sum = (shares: readonly number[] = []) => shares.reduce((total, share) => total + share, 0);
    for (const severity of [0.01, 0.5, 1])
      for (let site = 0; site < 20; site++) {
        const frequent = named("class-frequent").mix?.(mix, moment({ severity, site })) ?? [];
        const vanished = named("class-vanished").mix?.(mix, moment({ severity, site })) ?? [];
        expect(sum(frequent)).toBeCloseTo(1);
        expect(sum(vanished)).toBeCloseTo(1);
        expect(Math.max(...frequent.map((share, label) => share - (mix[label] as number)))).toBeGreaterThan(0.2);
        expect(frequent[4]).toBe(0);
        expect(vanished[3]).toBeLessThan(0.03);
      }
    expect(named("class-vanished").mix?.(mix, moment({ severity: 1 }))[3]).toBe(0);
  });

  test("a part of one label counts as another, more of it the more severe", () => {
    const { relabel } = named("label-changed");
    const changed = (severity: number, site: number) => {
      const labels = Array.from({ length: 400 }, (_, frame) => [
        frame % 4,
        relabel?.(frame % 4, 4, moment({ severity, frame, site })),
      ]);
      expect(labels.every(([, label]) => [0, 1, 2, 3].includes(label as number))).toBe(true);
      const moved = labels.filter(([from, to]) => from !== to);
      expect(new Set(moved.map(([from, to]) => `${from} to ${to}`)).size).toBe(1);
      return moved.length;
    };
    for (let site = 0; site < 10; site++) {
      expect(changed(0, site)).toBeGreaterThan(10);
      expect(changed(0, site)).toBeLessThan(60);
      expect(changed(1, site)).toBe(100);
    }
  });

  test("a new class is another task's picture where one is given", () => {
    const other = photo(32, 32, 3, 7);
    const shown = named("new-class").apply(photo(32, 32, 3), moment({ severity: 1, other }));
    expect(same(shown.data, other.data)).toBe(true);
  });
});
