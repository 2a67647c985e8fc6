/** The attacks of one registered device, at full speed. Each continues until its process is killed. */
import { randomBytes } from "node:crypto";
import { EdgeMetrics, frameSingleObject } from "@tributary/contracts";
import { someDigest, somePrediction } from "@tributary/testing";
import { atRate, flood, pause } from "./rates.ts";
import { validWays } from "./valid-ways.ts";
import type { Control, Way } from "./way.ts";
import { standard } from "./worlds.ts";

const FRAMES_PER_SECOND = 100;
const OPEN_FRAMES = 3_000;
const GARBAGE_BYTES = 200_000;
const FILTERS = 200;
const UNBOUNDED = 1_000_000_000;

/** By the bridge's default limits. */
const MESSAGES = { perSecond: 80, burst: 10 };
/** The bridge's limits of one device, by their names, are out of reach. */
const without = (...limits: readonly string[]): Control => ({
  bridge: { limits: { perDevice: Object.fromEntries(limits.map((limit) => [limit, UNBOUNDED])) } },
});
const fairness: Control = { sabotage: { router: "no-device-shares" } };
/** Each: where one is out of reach, the next holds the device. */
const unmetered = without(
  ...["messages", "bytes", "records", "kafkaBytes", "parsingMs", "subscriptions"].flatMap((one) => [
    `${one}PerSecondMax`,
    `${one}BurstMax`,
  ]),
);

const floods: readonly Way[] = [
  {
    name: "priority",
    summary: `${FRAMES_PER_SECOND} PRIORITY frames a second`,
    named: ["budget", "priority"],
    world: standard,
    control: fairness,
    run: (rogue) =>
      atRate(FRAMES_PER_SECOND, () => rogue.frame({ frameSeq: rogue.nextFrame(), reason: "PRIORITY", score: 1 })),
  },
  {
    name: "draws",
    summary: `${FRAMES_PER_SECOND} frames a second that claim to be drawn: half with a wrong key, half with propensity 1`,
    named: ["draws", "draws-unverified"],
    isOfDraws: true,
    world: standard,
    control: fairness,
    run: (rogue) =>
      atRate(FRAMES_PER_SECOND, () => {
        const frameSeq = rogue.nextFrame();
        const samplePropensity = frameSeq % 2n === 0n ? 1 : 0.005;
        return rogue.frame({ frameSeq, reason: "SAMPLE", score: -0.5, sampleDrawn: true, samplePropensity });
      }),
  },
  {
    name: "garbage",
    summary: `frames of ${GARBAGE_BYTES} random bytes`,
    named: ["dead-letters", "bytes"],
    world: standard,
    control: without(
      "deadLettersPerSecondMax",
      "deadLettersBurstMax",
      "deadLetterBytesPerSecondMax",
      "deadLetterBytesBurstMax",
      "bytesPerSecondMax",
      "bytesBurstMax",
    ),
    run: (rogue) => {
      const garbage = randomBytes(GARBAGE_BYTES);
      return flood(() => rogue.publish("frames", garbage));
    },
  },
  {
    name: "tiny",
    summary: `batches of one prediction beside ${OPEN_FRAMES} open frames`,
    named: ["messages"],
    acknowledgedMax: MESSAGES,
    world: standard,
    control: unmetered,
    run: async (rogue) => {
      const queued = { escalation: "QUEUED", reason: "AMBIGUOUS", deadlineMs: 600_000, ageMs: 0 } as const;
      for (let left = OPEN_FRAMES; left > 0; left -= 500) {
        const some = Array.from({ length: 500 }, () => somePrediction({ ...queued, frameSeq: rogue.nextFrame() }));
        await rogue.batch(some);
      }
      await flood(() => rogue.batch([somePrediction({ frameSeq: rogue.nextFrame() })]));
    },
  },
  {
    name: "subscribe",
    summary: `SUBSCRIBE packets of ${FILTERS} filters that it is not allowed`,
    named: ["subscriptions"],
    acknowledgedMax: { perSecond: 2, burst: 100 },
    world: standard,
    control: unmetered,
    run: (rogue) => {
      let asked = 0; // the client library asks for nothing twice
      const another = () => `tributary/v1/somebody-else-${++asked}/down/results`;
      return flood(async () => {
        if (!rogue.client.connected) return pause(20);
        await rogue.client.subscribeAsync(Array.from({ length: FILTERS }, another), { qos: 1 });
      });
    },
  },
  {
    name: "metrics",
    summary: "metrics that no device can have",
    named: ["messages"],
    acknowledgedMax: MESSAGES,
    world: standard,
    control: unmetered,
    run: (rogue) => {
      let seq = 0n;
      return flood(() => {
        const identity = { deviceId: rogue.deviceId, bootId: rogue.bootId, seq: ++seq };
        return rogue.publish(
          "metrics",
          frameSingleObject(EdgeMetrics.current.fingerprint, impossibleMetrics(identity)),
        );
      });
    },
  },
];

export const ways: readonly Way[] = [...floods, ...validWays];

const impossibleMetrics = (identity: { deviceId: string; bootId: bigint; seq: bigint }): Buffer =>
  EdgeMetrics.encode({
    ...identity,
    windowMs: 1,
    ageMs: 0,
    clockState: "SYNCHRONIZED",
    device: { frames_skipped: { n: 1n, sum: Number.MAX_VALUE, sumSq: Number.MAX_VALUE } },
    models: [
      { modelDigest: someDigest, metrics: { inference_latency_ms: { n: 1_000_000_000n, sum: 1e300, sumSq: 0 } } },
    ],
  });
