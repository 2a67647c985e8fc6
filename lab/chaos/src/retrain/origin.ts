/**
 * What every world of the drill starts from: a champion with validation frames, frames of a dark site with people's labels in the
 * archive, and a base set. The real services make it once, and its frame-archive is killed meanwhile; worlds get a copy.
 */
import { join } from "node:path";
import { clientOf, modelRegistryApi, trainerApi } from "@tributary/api";
import {
  ArchivedFrame,
  DeviceRegistration,
  type DriftVerdict,
  EdgeFrame,
  GroundTruth,
  topics,
} from "@tributary/contracts";
import { ensureTributaryTopics, KafkajsAdmin, KafkajsSink, KafkaReader, readTopic } from "@tributary/kafka";
import { formatFrameId } from "@tributary/kernel";
import { loadPackage } from "@tributary/model-store";
import { edgePackage, ensureTrust, mains } from "@tributary/stack";
import {
  dimmed,
  freePort,
  type SampleFrame,
  sampleFrames,
  someBootId,
  someDriftVerdict,
  someFrame,
  someRegistration,
  spawnService,
  waitFor,
} from "@tributary/testing";
import { LATENCY_MS_MAX, type Photo, pushBaseSet, pushChampion } from "../seeding.ts";
import { Supervised } from "../supervised.ts";

export type Place = { readonly dir: string; readonly brokers: readonly string[] };

export type Origin = {
  readonly dir: string;
  readonly prefix: string;
  readonly model: string;
  /** Open, about the site; training is wanted. */
  readonly verdict: DriftVerdict;
  readonly frames: number;
  /** Records of the archive, and the frames that they are about. */
  readonly archived: { readonly records: number; readonly frames: number };
  readonly archiveKills: number;
};

/** Folders of an origin, and of a world that started as its copy. */
export const folders = { registry: "registry", archive: "archive", trainer: "trainer" } as const;
/** Of the origin's records, those that a world starts with. */
export const copiedTopics = [
  topics.models,
  topics.modelAliases,
  topics.archivedFrames,
  topics.groundTruth,
  topics.datasets,
] as const;

export const PREFIX = "origin.";
export const BY = "ann";
const SITE = "north";
const DEVICES = 18;
/** A device is in one split: enough of them for 100 frames of the gate. */
const FRAMES_A_DEVICE = 16;
const BASE_PHOTOS = 520;
const VALIDATION_PHOTOS = 240;
/** What is left of the light at the site. */
const BRIGHTNESS = 0.3;
const ARCHIVE_KILLS = 2;
/** On so few frames both are mostly chance, and whether the candidate is good is not what is tried: a person lets it pass. */
const MARGINS = { accuracy: 0.5, calibrationError: 0.5 };
const CALL_MS_MAX = 120_000;

export const registryConfig = (dir: string, kafka: object, port: number, model: string): object => ({
  kafka,
  http: { port },
  log: { level: "info" },
  dataDir: join(dir, folders.registry),
  gate: { corrupted: 0, latencySlaMs: { [model]: LATENCY_MS_MAX }, margins: MARGINS },
});

export const archiveConfig = (dir: string, kafka: object, port: number): object => ({
  kafka,
  http: { port },
  log: { level: "info" },
  dataDir: join(dir, folders.archive),
});

/** Labels are all there when a training asks for them, so it takes what there is. */
export const trainerConfig = (dir: string, kafka: object, registryPort: number, archivePort: number): object => ({
  kafka,
  log: { level: "info" },
  dataDir: join(dir, folders.trainer),
  modelRegistry: { url: urlOf(registryPort) },
  frameArchive: { url: urlOf(archivePort) },
  backend: { kind: "local", threads: 1 },
  labels: { wanted: 300, trainMin: 50, gateMin: 100, waitMs: 1 },
  triggers: { schedule: null },
  limits: { lookEveryMs: 100, jobEveryMs: 300, labelsEveryMs: 300, outageEveryMs: 300, retryMsMin: 1_000 },
});

export const urlOf = (port: number): string => `http://127.0.0.1:${port}`;

export async function makeOrigin({ dir, brokers }: Place): Promise<Origin> {
  const kafka = { brokers: [...brokers], prefix: PREFIX };
  const admin = new KafkajsAdmin({ ...kafka, clientId: "chaos-admin" });
  await ensureTributaryTopics(admin, { partitions: 2 });
  await admin.close();
  const { manifest, labels } = await loadPackage(edgePackage);
  const samples = await sampleFrames(DEVICES * FRAMES_A_DEVICE + BASE_PHOTOS + VALIDATION_PHOTOS);
  const named = (some: readonly SampleFrame[]) =>
    some.map(({ jpeg, label }): Photo => ({ jpeg, label: labels[label] as string }));
  const site = await Promise.all(
    named(samples.slice(0, DEVICES * FRAMES_A_DEVICE)).map(async ({ jpeg, label }) => {
      return { jpeg: await dimmed(jpeg, BRIGHTNESS), label };
    }),
  );
  const others = named(samples.slice(site.length));
  const registryPort = await freePort();
  const since = Date.now() - 60_000;
  await ensureTrust(join(dir, folders.registry), join(dir, "root-keys"));
  const registry = await spawnService({
    name: "model-registry",
    main: mains.modelRegistry,
    dir,
    config: registryConfig(dir, kafka, registryPort, manifest.name),
  });
  try {
    const access = { url: urlOf(registryPort), timeoutMs: CALL_MS_MAX };
    const champion = await pushChampion(clientOf(modelRegistryApi, access), dir, others.slice(BASE_PHOTOS), BY);
    const modelDigest = champion.manifestDigest;
    const archived = await archive({ dir, kafka, modelDigest }, site);
    await withBaseSet({ dir, kafka, registryPort, model: manifest.name }, others.slice(0, BASE_PHOTOS));
    const devices = deviceNames().map((deviceId) => ({ deviceId, cameras: ["cam"], since }));
    const about = { scopeKey: "site", scopeValue: SITE, modelName: manifest.name, modelVersion: manifest.version };
    const verdict = someDriftVerdict({ ...about, modelDigest, devices, since, state: "OPEN", retrain: true });
    const { name: model } = manifest;
    return { dir, prefix: PREFIX, model, verdict, frames: site.length, archived, archiveKills: ARCHIVE_KILLS };
  } finally {
    await registry.stop(5_000);
  }
}

const deviceNames = (): readonly string[] => Array.from({ length: DEVICES }, (_, i) => `cam-${i + 1}`);

type Kafka = { readonly brokers: string[]; readonly prefix: string };

/** Kills the archive between frames, and as labels come. */
async function archive(
  { dir, kafka, modelDigest }: { readonly dir: string; readonly kafka: Kafka; readonly modelDigest: string },
  photos: readonly Photo[],
): Promise<Origin["archived"]> {
  const sink = new KafkajsSink({ ...kafka, clientId: "chaos-sink" });
  const reader = new KafkaReader({ ...kafka, clientId: "chaos-reader" });
  const archives = new Supervised({
    name: "frame-archive",
    main: mains.frameArchive,
    dir,
    config: archiveConfig(dir, kafka, await freePort()),
    count: 1,
    deaths: [],
    dieAt: "",
  });
  const archived = async () => {
    const ids: string[] = [];
    for await (const { value } of readTopic(reader, topics.archivedFrames.name)) {
      if (value !== null) ids.push(formatFrameId(ArchivedFrame.decodeConfluent(value)));
    }
    return { records: ids.length, frames: new Set(ids).size };
  };
  try {
    await sink.send(
      deviceNames().map((key) => {
        const value = DeviceRegistration.encodeConfluent(someRegistration({ deviceId: key, site: SITE }));
        return { topic: topics.registry.name, key, value };
      }),
    );
    await archives.start();
    for (let kill = 0; kill <= ARCHIVE_KILLS; kill++) {
      const of = photos.map((photo, i) => ({ ...photo, i })).filter(({ i }) => i % (ARCHIVE_KILLS + 1) === kill);
      const { frames: before } = await archived();
      await sink.send(of.flatMap(({ jpeg, label, i }) => recordsOf(jpeg, label, i, modelDigest)));
      if (kill === ARCHIVE_KILLS) break;
      const what = "the archive to keep frames";
      await waitFor(async () => (await archived()).frames > before, { what, timeoutMs: 60_000, everyMs: 20 });
      await archives.services[0]?.kill();
    }
    const isDone = async () => (await archived()).frames === photos.length;
    await waitFor(isDone, { what: `${photos.length} archived frames`, timeoutMs: 90_000, everyMs: 500 });
    return await archived();
  } finally {
    await archives.close();
    await Promise.all([sink.close(), reader.close()]);
  }
}

/** A drawn frame, and a person's label. */
function recordsOf(jpeg: Buffer, label: string, i: number, modelDigest: string) {
  const key = deviceNames()[i % DEVICES] as string;
  const id = { deviceId: key, bootId: someBootId, cameraId: "cam", frameSeq: BigInt(i + 1) };
  const frame = someFrame({ ...id, jpeg, label, modelDigest, sampleDrawn: true, samplePropensity: 0.25 });
  const truth = { ...id, label, source: "PERSON", labelledBy: BY, labelledAt: Date.now() } as const;
  return [
    { topic: topics.frames.name, key, value: EdgeFrame.encodeConfluent(frame) },
    {
      topic: topics.groundTruth.name,
      key,
      value: GroundTruth.encodeConfluent({ ...truth, labelSet: null, comment: null, frameAt: null }),
    },
  ];
}

async function withBaseSet(
  {
    dir,
    kafka,
    registryPort,
    model,
  }: { readonly dir: string; readonly kafka: Kafka; readonly registryPort: number; readonly model: string },
  photos: readonly Photo[],
): Promise<void> {
  const config = trainerConfig(dir, kafka, registryPort, await freePort());
  const service = await spawnService({ name: "trainer", main: mains.trainer, dir, config });
  try {
    const trainer = clientOf(trainerApi, { url: urlOf(service.ports.http as number), timeoutMs: CALL_MS_MAX });
    await pushBaseSet(trainer, photos, { model, by: BY, timeoutMs: 90_000 });
  } finally {
    await service.stop(5_000);
  }
}
