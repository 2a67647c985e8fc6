import { describe, expect, test } from "@jest/globals";
import { noise } from "./fields.ts";
import {
  applyConditions,
  type Conditions,
  conditionsAt,
  framesPerMinuteAt,
  HOUR_MS,
  mixAt,
  type Picture,
  type Where,
} from "./index.ts";
import { withPixels } from "./picture.ts";

const DAYS = 14;
const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
const where = (hour: number, site = 1, camera = 1, seed = 1): Where => ({ site, camera, time: hour * HOUR_MS, seed });
const at = (...args: Parameters<typeof where>): Conditions => conditionsAt(where(...args));
const hours = Array.from({ length: DAYS * 24 }, (_, hour) => hour);
const sites = Array.from({ length: 9 }, (_, site) => site);

function photo(channels: 1 | 3): Picture {
  const flat: Picture = { width: 40, height: 32, channels, data: new Uint8Array(40 * 32 * channels) };
  const bumps = Array.from({ length: channels }, (_, channel) => noise(flat, channel, 5));
  return withPixels(
    flat,
    Uint8ClampedArray.from(flat.data, (_, i) => 20 + 200 * (bumps[i % channels]?.[Math.floor(i / channels)] ?? 0)),
  );
}

describe("clean life", () => {
  test("is the same for the same site, camera, time and seed, and another for another seed", () => {
    expect(at(100)).toEqual(at(100));
    expect(at(100, 1, 1, 2)).not.toEqual(at(100));
    const picture = photo(3);
    expect(applyConditions(picture, at(100), 5)).toEqual(applyConditions(picture, at(100), 5));
    expect(applyConditions(picture, at(100), 6).data).not.toEqual(applyConditions(picture, at(100), 5).data);
  });

  test("keeps a picture's size and leaves the photo as it is", () => {
    for (const channels of [1, 3] as const)
      for (const hour of [0, 6, 12, 20]) {
        const picture = photo(channels);
        const seen = applyConditions(picture, at(hour, hour), hour);
        expect([seen.width, seen.height, seen.channels, seen.data.length]).toEqual([
          40,
          32,
          channels,
          40 * 32 * channels,
        ]);
        expect(picture).toEqual(photo(channels));
      }
  });

  test("has nights that are darker or infrared, but not indoors, and never as dark as where lamps failed", () => {
    const kinds = new Set<string>();
    for (const site of sites) {
      const [night, noon] = [0, 12].map((hour) => hours.filter((h) => h % 24 === hour).map((h) => at(h, site)));
      const [dark, bright] = [night, noon].map((of = []) => mean(of.map(({ brightness }) => brightness)));
      const infrared = mean((night ?? []).map((of) => of.infrared));
      kinds.add(infrared > 0.5 ? "infrared" : (bright as number) - (dark as number) > 0.08 ? "lamps" : "indoors");
      expect(mean((noon ?? []).map((of) => of.infrared))).toBeLessThan(0.05);
      expect(Math.min(...hours.map((hour) => at(hour, site).brightness))).toBeGreaterThan(0.7);
    }
    expect([...kinds].sort()).toEqual(["indoors", "infrared", "lamps"]);
  });

  test("has weather that a site's cameras share, in spells, and mist in the mornings alone", () => {
    const outdoors = sites.filter((site) => hours.some((hour) => at(hour, site).rain > 0));
    expect(outdoors.length).toBeGreaterThan(3);
    const raining = outdoors.map((site) => hours.map((hour) => at(hour, site).rain > 0.3));
    const share = mean(raining.flat().map(Number));
    expect(share).toBeGreaterThan(0.02);
    expect(share).toBeLessThan(0.25);
    const again = raining.flatMap((of) => of.filter((_, i) => of[i - 1]).map(Number));
    expect(mean(again)).toBeGreaterThan(2 * share);
    for (const site of outdoors) {
      expect(hours.map((hour) => at(hour, site, 2).rain)).toEqual(hours.map((hour) => at(hour, site).rain));
      expect(hours.filter((hour) => at(hour, site).mist > 0).every((hour) => hour % 24 < 11)).toBe(true);
    }
    expect(outdoors.some((site) => hours.some((hour) => at(hour, site).mist > 0.1))).toBe(true);
  });

  test("changes gradually: never by much within three minutes", () => {
    const fields = ["brightness", "warmth", "contrast", "mist", "rain", "infrared", "defocus"] as const;
    for (const site of sites) {
      const moments = Array.from({ length: 72 * 20 }, (_, i) => at(i / 20, site));
      for (const field of fields) {
        const steps = moments.slice(1).map((now, i) => Math.abs(now[field] - (moments[i]?.[field] as number)));
        // Lamps come on within the hour, and so does rain; a low sun comes out from behind clouds.
        const most = field === "infrared" || field === "rain" ? 0.2 : field === "warmth" ? 0.06 : 0.03;
        expect([site, field, Math.max(...steps) < most]).toEqual([site, field, true]);
      }
    }
  });

  test("has cameras that differ a little from each other", () => {
    const cameras = Array.from({ length: 30 }, (_, camera) => at(12, 1, camera));
    expect(new Set(cameras.map(({ aim }) => aim.x)).size).toBe(30);
    for (const { aim, defocus, balance } of cameras) {
      expect(Math.hypot(aim.x, aim.y)).toBeLessThan(0.04);
      expect(Math.abs(aim.turn)).toBeLessThan(0.03);
      expect(defocus).toBeLessThan(0.011);
      for (const factor of balance) expect(Math.abs(factor - 1)).toBeLessThan(0.06);
    }
  });

  test("has a mix of classes that sways by hour and weekday about the place's own", () => {
    const place = [0.5, 0.3, 0.2, 0];
    for (const site of sites) {
      const mixes = hours.map((hour) => mixAt(place, where(hour, site, site)));
      for (const [label, share] of place.entries()) {
        const away = mixes.map((mix) => Math.abs((mix[label] as number) - share));
        expect(Math.max(...away)).toBeLessThan(share === 0 ? 1e-9 : 0.2);
      }
      const sums = mixes.map((mix) => mix.reduce((sum, share) => sum + share, 0));
      expect(Math.max(...sums.map((sum) => Math.abs(sum - 1)))).toBeLessThan(1e-9);
      const shares = mixes.map((mix) => mix[0] as number);
      expect(Math.max(...shares) - Math.min(...shares)).toBeGreaterThan(0.02);
    }
  });

  test("has frames at 1 to 30 a minute, in bursts, and silence", () => {
    const rates = sites.map((camera) => hours.map((hour) => framesPerMinuteAt(where(hour, 1, camera))));
    expect(rates.flat().every((rate) => rate === 0 || (rate >= 1 && rate <= 30))).toBe(true);
    const silent = mean(rates.flat().map((rate) => Number(rate === 0)));
    expect(silent).toBeGreaterThan(0.03);
    expect(silent).toBeLessThan(0.1);
    const usual = rates.map(mean);
    expect(Math.max(...usual)).toBeGreaterThan(3 * Math.min(...usual));
    expect(rates.some((of) => Math.max(...of) > 2 * mean(of))).toBe(true);
  });
});
