/** The sample's task: ten classes, as often as each other, and as many photos as were published. */
import { join } from "node:path";
import { cloudPackage, edgePackage } from "@tributary/stack";
import { channelGains } from "./channel-gains.ts";
import { prepareRetrainPool } from "./pool.ts";
import { SiteSets, unseenOf } from "./sets.ts";
import { settings } from "./settings.ts";
import type { Story } from "./story.ts";

/** Writes what is missing below `dir`. */
export async function objectsStory(dir: string, controls: boolean, log: (line: string) => void): Promise<Story> {
  const sites = new SiteSets(dir, log);
  return {
    task: "objects",
    site: "north",
    otherSites: ["south", "east", "harbour"],
    atSite: 20,
    packages: { edge: edgePackage, cloud: cloudPackage },
    poolDir: await prepareRetrainPool(join(dir, "pool"), sites),
    validationDir: await sites.folder("validation"),
    baseDir: await sites.folder("base", settings.basePhotos),
    sceneOf: (_, view) => ({ view }),
    trainer: {},
    unseen: unseenOf(sites),
    gains: () => channelGains(sites, "dusk"),
    controls: controls ? sites : null,
    isTried: false,
    bars: {
      regainedMin: 0.5,
      unseenMin: 1_000,
      cost: { max: 0.005, boundMax: 0.01 },
      mayBeHeld: false,
      runMs: settings.runMs,
    },
  };
}
