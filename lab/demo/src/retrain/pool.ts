/** What the cameras of `demo -- retrain` see: photos of the site's set, in daylight and at dusk. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { type SeenPhoto, writeSeen } from "../photos.ts";
import type { SiteSets } from "./sets.ts";
import { CLEAR, DUSK } from "./story.ts";

/** Written once. */
export async function prepareRetrainPool(dir: string, sites: SiteSets): Promise<string> {
  if (existsSync(join(dir, "pool.json"))) return dir;
  const places = [...(await sites.photos("site")).keys()];
  const seen: SeenPhoto[] = [];
  for (const view of [CLEAR, DUSK]) {
    for (const { jpeg, label } of await sites.frames("site", view, places)) seen.push({ view, jpeg, label });
  }
  await writeSeen(dir, seen);
  return dir;
}
