/** The guides that take longer than CI has, word for word, as guides.peer.test.ts runs the others. */
import { mkdtempSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, test } from "@jest/globals";
import { tempDir } from "@tributary/testing";
import { node20 } from "../../../tools/peers.mjs";
import { copyClone, type GuideSession, openSession, requireFreePorts } from "./guide-session.ts";
import { sessions } from "./guides.ts";

const GUIDE_MS_MAX = 15 * 60_000;
const dir = tempDir("long-guides");
const clone = join(dir.path, "tributary");
beforeAll(async () => {
  await requireFreePorts();
  copyClone(clone);
}, GUIDE_MS_MAX);
afterAll(() => dir.remove());

describe.each(sessions.filter(({ isLong }) => isLong))("given a clone and who reads $guides", ({ guides }) => {
  let session: GuideSession;
  beforeAll(() => {
    session = openSession({ clone, dir: mkdtempSync(join(dir.path, "session-")), node: node20() });
  });
  test.each(guides)("%s holds", (guide) => session.run(guide), GUIDE_MS_MAX);
  afterAll(() => session.end(), GUIDE_MS_MAX);
});
