/**
 * All services with pictures in each place that has some: validation frames in the registry, a camera's frames in Kafka and in the
 * archive, and a dataset at the trainer. Each service has a token of its own, and those of the others that it needs.
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { clientOf, frameArchiveApi, modelRegistryApi, trainerApi } from "@tributary/api";
import { DeviceRegistration, EdgeFrame, topics } from "@tributary/contracts";
import { ensureTributaryTopics, KafkajsAdmin, KafkajsSink } from "@tributary/kafka";
import { formatFrameId } from "@tributary/kernel";
import { loadPackage } from "@tributary/model-store";
import { cloudPackage, edgePackage, ensureTrust, mains } from "@tributary/stack";
import {
  type SpawnedService,
  sampleFrames,
  someBootId,
  someFrame,
  someRegistration,
  spawnService,
  waitFor,
} from "@tributary/testing";
import { type Photo, pushBaseSet, pushChampion, sha256 } from "../seeding.ts";
import type { Values } from "./requests.ts";

const BY = "chaos";
const DEVICE = "cam-1";
const CAMERA_FRAMES = 3;
const VALIDATION_PHOTOS = 120;
/** As few as a base set may have, and some. */
const BASE_PHOTOS = 520;
/** Of those that are asked for one by one. */
const ASKED_FOR = 5;
const CALL_MS_MAX = 600_000;
const READY_MS_MAX = 600_000;

export type RightsPort = { readonly name: string; readonly port: number; readonly token: string | undefined };

export type RightsWorld = {
  readonly ports: readonly RightsPort[];
  /** What exists, for the parameters of routes. */
  readonly values: Values;
  /** SHA-256 and MD5 of the pictures of people and cameras. */
  readonly digests: ReadonlySet<string>;
  /** Files of the package, which every device may have. */
  readonly open: ReadonlySet<string>;
  close(): Promise<void>;
};

const tokenOf = (name: string): string => `the-token-of-the-${name}`;
const urlOf = ({ ports }: SpawnedService): string => `http://127.0.0.1:${ports.http}`;
const md5 = (bytes: Uint8Array): string => createHash("md5").update(bytes).digest("hex");

export async function openRights(dir: string, brokers: readonly string[]): Promise<RightsWorld> {
  const kafka = { brokers: [...brokers], prefix: "rights." };
  const admin = new KafkajsAdmin({ ...kafka, clientId: "chaos-admin" });
  await ensureTributaryTopics(admin, { partitions: 1 });
  await admin.close();
  await ensureTrust(join(dir, "registry"), join(dir, "root-keys"));
  const running: SpawnedService[] = [];
  const close = async () => {
    await Promise.all(running.map((service) => service.stop(10_000)));
  };
  const start = async (name: string, main: string, config: object): Promise<SpawnedService> => {
    const shared = { kafka, http: { metricsPort: 0 }, log: { level: "warn" } };
    const service = await spawnService({ name, main, dir, config: { ...shared, ...config }, readyMsMax: READY_MS_MAX });
    running.push(service);
    return service;
  };
  try {
    const services = await startServices(dir, start);
    const seeded = await seed(dir, kafka, services);
    const ports = running.flatMap(({ name, ports: { http = 0, metrics = 0 } }): RightsPort[] => [
      { name, port: http, token: HAVE_TOKENS.includes(name) ? tokenOf(name) : undefined },
      { name: `${name}'s metrics`, port: metrics, token: undefined },
    ]);
    return { ports, ...seeded, close };
  } catch (error) {
    await close();
    throw error;
  }
}

type Start = (name: string, main: string, config: object) => Promise<SpawnedService>;
type Pictured = Readonly<Record<"registry" | "archive" | "trainer" | "gateway", SpawnedService>>;

const HAVE_TOKENS = ["model-registry", "frame-archive", "trainer", "gateway", "rollout-manager"];

async function startServices(dir: string, start: Start): Promise<Pictured> {
  const auth = (name: string) => ({ auth: { tokens: [tokenOf(name)] } });
  const at = (name: string, service: SpawnedService) => ({ url: urlOf(service), token: tokenOf(name) });
  const [registry, archive] = await Promise.all([
    start("model-registry", mains.modelRegistry, { ...auth("model-registry"), dataDir: join(dir, "registry") }),
    start("frame-archive", mains.frameArchive, { ...auth("frame-archive"), dataDir: join(dir, "archive") }),
  ]);
  const modelRegistry = at("model-registry", registry);
  const frameArchive = at("frame-archive", archive);
  const [trainer, manager] = await Promise.all([
    start("trainer", mains.trainer, {
      ...auth("trainer"),
      ...{ dataDir: join(dir, "trainer"), modelRegistry, frameArchive },
      triggers: { schedule: null },
    }),
    start("rollout-manager", mains.rolloutManager, { ...auth("rollout-manager"), modelRegistry }),
    start("router", mains.router, { packages: [edgePackage] }),
    start("drift-monitor", mains.driftMonitor, { packages: [edgePackage] }),
    start("cloud-classifier", mains.classifier, { targets: { default: { backend: "onnx", package: cloudPackage } } }),
    start("bridge", mains.bridge, { mqtt: { port: 0 } }),
  ]);
  const rolloutManager = at("rollout-manager", manager);
  const upstreams = { modelRegistry, frameArchive, rolloutManager, trainer: at("trainer", trainer) };
  const gateway = await start("gateway", mains.gateway, { ...auth("gateway"), ...upstreams });
  return { registry, archive, trainer, gateway };
}

async function seed(
  dir: string,
  kafka: { readonly brokers: string[]; readonly prefix: string },
  services: Pictured,
): Promise<Pick<RightsWorld, "values" | "digests" | "open">> {
  const { labels } = await loadPackage(edgePackage);
  const samples = await sampleFrames(CAMERA_FRAMES + VALIDATION_PHOTOS + BASE_PHOTOS);
  const photos = samples.map(({ jpeg, label }): Photo => ({ jpeg, label: labels[label] as string }));
  const camera = photos.slice(0, CAMERA_FRAMES);
  const validation = photos.slice(CAMERA_FRAMES, CAMERA_FRAMES + VALIDATION_PHOTOS);
  const base = photos.slice(CAMERA_FRAMES + VALIDATION_PHOTOS);
  const at = (service: SpawnedService, name: string) => {
    return { url: urlOf(service), token: tokenOf(name), timeoutMs: CALL_MS_MAX };
  };
  const registry = clientOf(modelRegistryApi, at(services.registry, "model-registry"));
  const trainer = clientOf(trainerApi, at(services.trainer, "trainer"));
  const { name, version, files, set } = await pushChampion(registry, dir, validation, BY);
  const frames = await sendFrames(kafka, services.archive, camera);
  const dataset = await pushBaseSet(trainer, base, { model: name, by: BY, timeoutMs: 600_000 });
  const all = [camera, validation, base].flat().map(({ jpeg }) => jpeg);
  const digests = new Set(all.flatMap((jpeg) => [sha256(jpeg), md5(jpeg)]));
  for (const file of files) digests.delete(file); // A picture that is golden as well is the package's.
  const some = [validation, base].flatMap((set) => set.slice(0, ASKED_FOR).map(({ jpeg }) => sha256(jpeg)));
  const values = {
    digest: [...some, set, dataset.manifestDigest, files[0] as string],
    frameId: frames,
    model: [name],
    name: [name],
    version: [version, dataset.version],
    deviceId: [DEVICE],
    file: ["timestamp.json"],
  };
  return { values, digests, open: new Set(files) };
}

/** The frames' ids, once the archive has them. */
async function sendFrames(
  kafka: { readonly brokers: string[]; readonly prefix: string },
  archive: SpawnedService,
  photos: readonly Photo[],
): Promise<readonly string[]> {
  const ids = photos.map((_, i) => ({
    ...{ deviceId: DEVICE, bootId: someBootId, cameraId: "cam", frameSeq: BigInt(i + 1) },
  }));
  const sink = new KafkajsSink({ ...kafka, clientId: "chaos-sink" });
  const registration = DeviceRegistration.encodeConfluent(someRegistration({ deviceId: DEVICE }));
  await sink.send([{ topic: topics.registry.name, key: DEVICE, value: registration }]);
  await sink.send(
    photos.map(({ jpeg, label }, i) => {
      const frame = someFrame({ ...ids[i], jpeg, label, sampleDrawn: true, samplePropensity: 0.25 });
      return { topic: topics.frames.name, key: DEVICE, value: EdgeFrame.encodeConfluent(frame) };
    }),
  );
  await sink.close();
  const { frames } = clientOf(frameArchiveApi, { url: urlOf(archive), token: tokenOf("frame-archive") });
  const isKept = async () => (await frames.list({})).items.length === photos.length;
  await waitFor(isKept, { what: "the archive to keep the frames", timeoutMs: 300_000, everyMs: 300 });
  return ids.map(formatFrameId);
}
