/** Attacks with records that are valid, one by one, at rates that are permitted: bursts, restarts, JSON and Avro. */
import { somePrediction } from "@tributary/testing";
import type { Talker } from "../talker.ts";
import { paddedJpeg } from "./padded-jpeg.ts";
import { flood, inBursts, pause } from "./rates.ts";
import type { Progress, Way } from "./way.ts";
import { disputed, heated, people, scarce, smallDisk, standard } from "./worlds.ts";

const PREDICTIONS = 1_000;
const SIZES = [PREDICTIONS, PREDICTIONS, 1_024, 300, PREDICTIONS, 1];
/** Messages between two starts of its program. */
const BOOT_MESSAGES = 150;
const WINDOW = 8;
const CAMERAS = 70_000;
const CAMERAS_PER_BATCH = [PREDICTIONS, 500, 1_000, 50];
const FILL_SECONDS_MAX = 120;
const PHOTOS_PER_SECOND = 10;
const KIB = 1_024;
const FRAME_BYTES = [400 * KIB, 60 * KIB, 1_500 * KIB, 900 * KIB];

/** One batch after the other, of unequal sizes; every fourth in JSON. */
async function batches(rogue: Talker, progress: Progress): Promise<void> {
  let sent = 0;
  let predictions = 0;
  await flood(async () => {
    const size = SIZES[sent % SIZES.length] as number;
    if (++sent % BOOT_MESSAGES === 0) rogue.restart();
    if (sent % 4 === 0) await rogue.jsonBatch(size);
    else await rogue.batch(kept(rogue, size));
    predictions += size;
    progress({ predictions, batches: sent });
  }, WINDOW);
}

/** First as fast as it may, then a few more all the time, so that the others' are never the ones seen last. */
async function cameras(rogue: Talker, progress: Progress): Promise<void> {
  let named = 0;
  let stored = 0;
  let sent = 0;
  await flood(async () => {
    const size = CAMERAS_PER_BATCH[sent % CAMERAS_PER_BATCH.length] as number;
    if (++sent % BOOT_MESSAGES === 0) rogue.restart();
    const predictions = Array.from({ length: size }, () =>
      somePrediction({ cameraId: `gate-${++named}`, frameSeq: rogue.nextFrame(), ageMs: 0 }),
    );
    await rogue.batch(predictions);
    stored += size;
    progress({ cameras: stored });
    if (stored > CAMERAS) await pause(4_000);
  }, WINDOW);
}

/** Its label is never the cloud's; some of its frames are urgent. */
async function disagree(rogue: Talker, progress: Progress): Promise<void> {
  let sent = 0;
  const bursts = [
    { calls: 30, overMs: 1_500 },
    { calls: 6, overMs: 300 },
    { calls: 2, overMs: 400 },
  ];
  await inBursts(bursts, async () => {
    if (++sent % BOOT_MESSAGES === 0) rogue.restart();
    const reason = sent % 10 === 0 ? "PRIORITY" : "AMBIGUOUS";
    const seen = { frameSeq: rogue.nextFrame(), label: sent % 2 === 0 ? "truck" : "frog", reason, score: 0.8 } as const;
    progress({ frames: sent });
    await sendFrame(rogue, { ...seen, deadlineMs: 5_000 });
  });
}

/** More often than it may, so that it gets all that it may. */
async function fallback(rogue: Talker, progress: Progress): Promise<void> {
  let sent = 0;
  const bursts = [
    { calls: 4, overMs: 800 },
    { calls: 1, overMs: 200 },
  ];
  await inBursts(bursts, async () => {
    if (++sent % BOOT_MESSAGES === 0) rogue.restart();
    progress({ frames: sent });
    await sendFrame(rogue, { frameSeq: rogue.nextFrame(), reason: "FALLBACK", score: 0.9, deadlineMs: 5_000 });
  });
}

/** Photos of a script that has no model, ten a second: sometimes one after the other, sometimes what it held back. */
async function noAnswer(rogue: Talker, progress: Progress): Promise<void> {
  let photos = 0;
  const image = rogue.jpeg.toString("base64");
  const bursts = [1, 5, 20].map((calls) => ({ calls, overMs: (1_000 * calls) / PHOTOS_PER_SECOND }));
  await inBursts(bursts, () => {
    progress({ photos: ++photos });
    return rogue.json("frames", { image, capturedAt: Date.now() + photos }); // Equal bytes would be one frame.
  });
}

/** Full batches of large predictions, and frames of every size beside them. */
async function retention(rogue: Talker, progress: Progress): Promise<void> {
  const jpegs = FRAME_BYTES.map((bytes) => paddedJpeg(rogue.jpeg, bytes));
  let sent = 0;
  let bytes = 0;
  await flood(async () => {
    if (++sent % BOOT_MESSAGES === 0) rogue.restart();
    const jpeg = jpegs[(sent >> 2) % jpegs.length] as Buffer;
    if (sent % 4 === 0) await rogue.frame({ frameSeq: rogue.nextFrame(), jpeg, reason: "AMBIGUOUS", score: 0.2 });
    else await rogue.batch(kept(rogue, PREDICTIONS).map((one) => ({ ...one, context: CONTEXT })));
    bytes += sent % 4 === 0 ? jpeg.length : PREDICTIONS * PREDICTION_BYTES;
    progress({ [FILLED]: bytes });
  }, WINDOW);
}
/** As much as a context may be. */
const CONTEXT = JSON.stringify({ road: "x".repeat(480) });
/** About what one has in a record, with its context. */
const PREDICTION_BYTES = 700;
const FILLED = "acknowledged bytes";

const kept = (rogue: Talker, count: number) =>
  Array.from({ length: count }, () => somePrediction({ frameSeq: rogue.nextFrame(), ageMs: 0 }));

async function sendFrame(
  rogue: Talker,
  seen: Pick<ReturnType<typeof somePrediction>, "frameSeq" | "reason" | "score" | "deadlineMs"> & { label?: string },
): Promise<void> {
  await Promise.all([
    rogue.frame({ ...seen, ageMs: 0 }),
    rogue.batch([somePrediction({ ...seen, escalation: "QUEUED", ageMs: 0 })]),
  ]);
}

export const validWays: readonly Way[] = [
  {
    name: "batches",
    summary: `valid batches of up to ${PREDICTIONS} predictions, in Avro and JSON, as fast as it may`,
    world: standard,
    named: null,
    control: { sabotage: { bridge: "batches-as-one-record", router: "poll-in-arrival-order" } },
    run: batches,
  },
  {
    name: "cameras",
    summary: `${CAMERAS} invented cameras, while people label the frames of others`,
    world: people,
    named: [],
    until: { figure: "cameras", count: CAMERAS, secondsMax: FILL_SECONDS_MAX },
    control: { sabotage: { gateway: "cameras-without-shares" } },
    run: cameras,
  },
  {
    name: "disagree",
    summary: "plausible frames that always have another label than the cloud's",
    world: disputed,
    named: [],
    isOfQueue: true,
    control: { sabotage: { gateway: "candidates-without-shares" } },
    run: disagree,
  },
  {
    name: "fallback",
    summary: "devices that claim to be degraded, as often as they may, beside some that are",
    world: heated,
    named: [],
    rogues: [2, 4],
    control: { sabotage: { router: "fallback-first-come" } },
    run: fallback,
  },
  {
    name: "no-answer",
    summary: `${PHOTOS_PER_SECOND} photos a second in JSON, without an answer of its own`,
    world: scarce,
    named: [],
    control: { sabotage: { router: "no-answer-from-fleet-budget" } },
    run: noAnswer,
  },
  {
    name: "retention",
    summary: "as much as it may send, into a partition with others, while the routers are away and the disk is small",
    world: smallDisk,
    named: [],
    isWithoutRouters: true,
    until: { figure: FILLED, count: 100 * KIB * KIB, secondsMax: 60 },
    control: { sabotage: { bridge: "acknowledge-beyond-retention" } },
    run: retention,
  },
];
