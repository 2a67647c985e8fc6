/** Clean cameras, each with its own mix of classes and its own view, followed for a day: nothing changes, so no one may alarm. */
import { logBar } from "@tributary/drift";
import { type Random, seededRandom } from "@tributary/kernel";
import sharp, { type Sharp } from "sharp";
import type { Gate, Table } from "../bench.ts";
import { drawMix, type Observed, type Photo, Scenes } from "./observed.ts";
import type { Peers } from "./peers.ts";
import { Watcher } from "./watcher.ts";

const WINDOW_MS = 60_000;
/** Windows; an alarm lasts longer. */
const LOOK_EVERY = 20;

/** Light, lens and place of cameras. */
const VIEWS: readonly ((image: Sharp) => Sharp)[] = [
  (image) => image,
  (image) => image.linear(1.15, 5),
  (image) => image.linear(0.8, 0),
  (image) => image.linear(0.75, 25),
  (image) => image.linear([1.1, 1, 0.85], [0, 0, 0]),
  (image) => image.linear([0.88, 1, 1.1], [0, 0, 0]),
  (image) => image.extract({ left: 20, top: 20, width: 120, height: 120 }).resize(160, 160),
  (image) => image.blur(1.2),
];

export const viewSets = async (photos: readonly Photo[]) =>
  Promise.all(
    VIEWS.map(async (view, v) => ({
      name: `view/${v}`,
      photos: await Promise.all(
        photos.map(async ({ jpeg, label }) => ({ jpeg: await jpegOf(view(sharp(jpeg))), label })),
      ),
    })),
  );

const jpegOf = async (image: Sharp): Promise<Uint8Array> =>
  new Uint8Array(await image.jpeg({ quality: 90, chromaSubsampling: "4:2:0" }).toBuffer());

export type CleanDevices = {
  readonly devices: number;
  readonly windows: number;
  readonly byFrames: readonly {
    readonly frames: number;
    readonly accused: number;
    /** Devices of which one window passes PSI .1 and .2 on some feature beside the validation set, by Evidently. */
    readonly psi: { readonly devices: number; readonly over1: number; readonly over2: number };
    /** The same of devices without a view of their own. */
    readonly psiMixAlone: { readonly devices: number; readonly over1: number; readonly over2: number };
  }[];
};

export async function cleanDevices(
  observed: Observed,
  peers: Peers,
  devices: number,
  windows: number,
  progress: (line: string) => void,
): Promise<CleanDevices> {
  const byFrames: CleanDevices["byFrames"][number][] = [];
  const past = observed.framesOf("past").flat();
  for (const frames of [60, 3]) {
    const firsts: { readonly view: number; readonly window: Uint32Array }[] = [];
    let accused = 0;
    for (let device = 0; device < devices; device++) {
      const random = seededRandom(7_000_000 + device);
      const found = watched(observed, random, devices, frames, windows);
      firsts.push(found);
      if (found.isAccused) accused += 1;
      if (device % 100 === 99) {
        progress(`  ${device + 1} clean devices, windows of ${frames} frames: ${accused} accused`);
        await new Promise(setImmediate); // Lets Ctrl-C be handled.
      }
    }
    const psi = await overOf(peers, past, firsts);
    byFrames.push({
      frames,
      accused,
      psi,
      psiMixAlone: await overOf(
        peers,
        past,
        firsts.filter(({ view }) => view === 0),
      ),
    });
  }
  return { devices, windows, byFrames };
}

function watched(observed: Observed, random: Random, devices: number, frames: number, windows: number) {
  const view = Math.floor(random() * VIEWS.length);
  const scenes = new Scenes(random, drawMix(random, observed.streams.length - observed.features, 0.5));
  const byClass = observed.framesOf(`view/${view}`);
  const watcher = new Watcher(observed.streams.length, logBar(devices * observed.streams.length, WINDOW_MS));
  const [window, means] = [new Uint32Array(frames), new Float64Array(observed.streams.length)];
  let isAccused = false;
  for (let w = 1; w <= windows && !isAccused; w++) {
    scenes.draw(byClass, window);
    watcher.step(observed.mean(window, means), frames, (w * WINDOW_MS) / 1_000);
    isAccused = w % LOOK_EVERY === 0 && watcher.alarms;
  }
  return { view, window, isAccused };
}

async function overOf(peers: Peers, past: readonly number[], some: readonly { readonly window: Uint32Array }[]) {
  const scores = await peers.psi(
    past,
    some.map(({ window }) => window),
  );
  const over = (threshold: number) => scores.filter((score) => score > threshold).length;
  return { devices: some.length, over1: over(0.1), over2: over(0.2) };
}

export const cleanTable = ({ devices, windows, byFrames }: CleanDevices): Table => ({
  title: `${devices} clean devices with their own classes and views, ${windows} windows each`,
  columns: ["frames a window", "accused", "one window by PSI > .1", "PSI > .2", "classes alone, PSI > .1", "PSI > .2"],
  rows: byFrames.map(({ frames, accused, psi, psiMixAlone }) => {
    const share = (count: number, of: number) => `${((100 * count) / of).toFixed(1)} %`;
    return [
      frames,
      accused,
      share(psi.over1, psi.devices),
      share(psi.over2, psi.devices),
      share(psiMixAlone.over1, psiMixAlone.devices),
      share(psiMixAlone.over2, psiMixAlone.devices),
    ];
  }),
});

export const cleanGates = ({ devices, byFrames }: CleanDevices): readonly Gate[] =>
  byFrames.map(({ frames, accused }) => ({
    name: `no clean device is accused, windows of ${frames} frames`,
    passed: accused === 0,
    measured: `${accused} of ${devices}`,
  }));
