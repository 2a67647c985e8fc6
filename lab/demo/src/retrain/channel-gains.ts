/** What could be done without training: one gain per channel, by which the site's pictures become as bright as base photos are. No label is
 * needed. */
import sharp from "sharp";
import type { Gains } from "./judge.ts";
import { type SiteDrift, type SiteFrame, type SiteSets, siteFramesOf } from "./sets.ts";

const FRAMES = 300;

export async function channelGains(sites: SiteSets, drift: SiteDrift): Promise<Gains> {
  const base = await meansOf(
    await sites.frames(
      "base",
      "clear",
      Array.from({ length: FRAMES }, (_, i) => i),
    ),
  );
  const site = await meansOf(await siteFramesOf(sites, "site", drift, 1, FRAMES));
  return [0, 1, 2].map((channel) => (base[channel] as number) / (site[channel] as number)) as unknown as Gains;
}

async function meansOf(frames: readonly SiteFrame[]): Promise<readonly number[]> {
  const means = await Promise.all(
    frames.map(async ({ jpeg }) => (await sharp(jpeg).stats()).channels.map(({ mean }) => mean)),
  );
  return [0, 1, 2].map((channel) => means.reduce((sum, one) => sum + (one[channel] as number), 0) / means.length);
}
