/** Five things that happen to one fleet of a task of another shape: two classes at nine to one, whose mix differs from place to place. The
 * faults of pictures are those of lab/tasks, which were written without regard to how faults are found. */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { CAMERA_ID } from "@tributary/stack";
import { type Fault, faults, jpegOf, openTask, packTask, pictureOf, type Task } from "@tributary/tasks";
import { type SeenPhoto, writeSeen } from "../photos.ts";
import { CLEAR, caseOf, fleetOf, type Group, PIPELINE, type Prepared, SHARED_SITES, type Story } from "./story.ts";

const LENS = { lens: "acme-1" };
const BUILD = { agentVersion: "0.2.0", fault: "mean-not-subtracted" } as const;
const FOGGY_SITE = "north";
const FLOODED_SITE = "harbour";
/** Share of frames with water there, from then on. */
const FLOODED = 0.7;

/** From a haze to thick fog; and what is on one lens. */
const FOG = [0.2, 0.45, 0.7] as const;
const DIRT = 0.7;
const fogView = (severity: number) => `fog-${Math.round(100 * severity)}`;
const DIRTY = "lens-dirt";

const changed: readonly Group[] = [
  { name: "camera", devices: 1, sites: SHARED_SITES, labels: LENS, fps: 4 },
  { name: "fog", devices: 8, sites: [FOGGY_SITE], labels: LENS },
  { name: "class-mix", devices: 6, sites: [FLOODED_SITE], labels: LENS, fps: 2 },
  { name: PIPELINE, devices: 5, sites: SHARED_SITES, labels: LENS },
];

export async function waterStory(devices: number): Promise<Story> {
  const { places, labels } = await openTask("water");
  const mixes = new Map(
    places.map(({ name, mix }) => [name, Object.fromEntries(labels.map((label, i) => [label, mix[i] as number]))]),
  );
  const fleet = fleetOf(devices, changed, LENS, ({ site }) => ({ view: CLEAR, mix: mixes.get(site) }));
  const camera = fleet.find((member) => member.case === "camera");
  const cases = [
    caseOf(fleet, {
      name: "camera",
      summary: "mud and insects are on the lens of one camera",
      expected: {
        cause: "CAMERA",
        scopeKey: "camera",
        scopeValue: `${camera?.deviceId}/${CAMERA_ID}`,
        faults: ["dirty-lens", ""],
      },
      becomes: [{ view: DIRTY, mix: mixes.get(camera?.site ?? "") }],
    }),
    caseOf(fleet, {
      name: "fog",
      summary: "fog comes up at one site",
      expected: { cause: "WORLD", scopeKey: "site", scopeValue: FOGGY_SITE, faults: ["haze", ""] },
      becomes: FOG.map((severity) => ({ view: fogView(severity), mix: mixes.get(FOGGY_SITE) })),
    }),
    caseOf(fleet, {
      name: "class-mix",
      summary: "cameras of one site see mostly water, which was rare",
      expected: { cause: "LABEL_SHIFT", scopeKey: "site", scopeValue: FLOODED_SITE, faults: [""] },
      becomes: [{ view: CLEAR, mix: { dry: 1 - FLOODED, water: FLOODED } }],
    }),
    caseOf(fleet, {
      name: PIPELINE,
      summary: "an agent version does not subtract the mean",
      expected: {
        cause: "PREPROCESSING",
        scopeKey: "agentVersion",
        scopeValue: BUILD.agentVersion,
        faults: [BUILD.fault],
      },
    }),
    caseOf(fleet, { name: "nothing", summary: "nothing changes", expected: null }),
  ];
  return { task: "water", fleet, cases, build: BUILD };
}

/** Packages, and the pool of what cameras see, below `dir`. */
export async function prepareWater(dir: string, log: (line: string) => void): Promise<Prepared> {
  const task = await openTask("water");
  rmSync(dir, { recursive: true, force: true });
  log(`packing the models of ${task.name}`);
  const packages = await packTask(task, join(dir, "packages"), () => undefined);
  const poolDir = join(dir, "pool");
  log(`${task.seen.length} photos in every condition`);
  await writeSeen(poolDir, await seenPhotos(task), task.labels);
  return { poolDir, packages };
}

async function seenPhotos(task: Task): Promise<readonly SeenPhoto[]> {
  const [fog, dirt] = ["fog", DIRTY].map((name) => faults.find((fault) => fault.name === name) as Fault) as [
    Fault,
    Fault,
  ];
  const views = [
    ...FOG.map((severity) => ({ view: fogView(severity), fault: fog, severity })),
    { view: DIRTY, fault: dirt, severity: DIRT },
  ];
  const seen: SeenPhoto[] = [];
  for (const [frame, { photo, label }] of task.seen.entries()) {
    const picture = await pictureOf(task, photo);
    seen.push({ view: CLEAR, label, jpeg: await jpegOf(picture) });
    for (const { view, fault, severity } of views) {
      const faulty = fault.apply(picture, { severity, camera: 1, frame, hour: 12, site: 1 });
      seen.push({ view, label, jpeg: await jpegOf(faulty) });
    }
  }
  return seen;
}
