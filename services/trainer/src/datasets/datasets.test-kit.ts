/** Frames of a simulated site, with real JPEGs, for tests of datasets; and what trainings of it depend on. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { FolderObjectStore } from "@tributary/blob-store";
import { type Dataset, topics } from "@tributary/contracts";
import { parseFrameId, seededRandom, systemClock } from "@tributary/kernel";
import { sha256 } from "@tributary/model-store";
import type { Health } from "@tributary/service-kit";
import { MemoryKafka, silentTelemetry, someModel } from "@tributary/testing";
import { choiceDefaults, datasetContents, frameFile, type LabelledFrame } from "@tributary/training/dataset";
import sharp from "sharp";
import type { ModelRegistry } from "../registry/blobs.ts";
import type { TableReader } from "../sinks.ts";
import { someDataset } from "../trainer.test-kit.ts";
import { DatasetStore } from "./dataset-store.ts";
import { type FreezeRequest, Freezer } from "./freezer.ts";
import { TrainingHistory } from "./history.ts";
import { KafkaDatasets } from "./kafka-datasets.ts";
import { PictureHashes } from "./picture-hashes.ts";

export type SiteFrame = LabelledFrame & { readonly jpeg: Buffer };

const CLASSES = ["cat", "dog"];

/** Each of noise of its own. */
export async function siteFrames(count: number, seed: number, devices = 25): Promise<SiteFrame[]> {
  const random = seededRandom(seed);
  return Promise.all(
    Array.from({ length: count }, async (_, i) => {
      const pixels = Buffer.from(Array.from({ length: 9 * 8 * 3 }, () => Math.floor(random() * 256)));
      const picture = sharp(pixels, { raw: { width: 9, height: 8, channels: 3 } });
      const jpeg = await picture.resize(32, 32, { kernel: "nearest", fit: "fill" }).jpeg({ quality: 95 }).toBuffer();
      const deviceId = `cam-${i % devices}`;
      return {
        frameId: `${deviceId}:1:front:${i + 1}`,
        deviceId,
        digest: sha256(jpeg),
        receivedAt: 1_000 * i,
        sampleDrawn: true,
        samplePropensity: 0.05,
        labels: [{ label: CLASSES[i % 2] as string, source: "PERSON", by: "ada", confidence: null }],
        jpeg,
      };
    }),
  );
}

export function requestOf(frames: readonly SiteFrame[], more: Partial<FreezeRequest> = {}): FreezeRequest {
  const jpegs = new Map(frames.map(({ frameId, jpeg }) => [frameId, jpeg]));
  return {
    model: "edge-resnet8",
    slice: "site=north",
    runId: "run-1",
    verdictId: "verdict-1",
    baseVersion: "0123456789ab",
    createdBy: "trainer",
    since: 0,
    seed: "run-1",
    labels: { classes: CLASSES, cloud: null },
    choice: {
      ...choiceDefaults,
      wanted: { TRAIN: 30, TUNE: 10, GATE: 20 },
      framesMin: 40,
      splitMin: { TRAIN: 15, TUNE: 3, GATE: 10 },
    },
    frames: frames.map(({ jpeg: _, ...frame }) => frame),
    heldOut: { frames: [], pictureOf: async () => Buffer.alloc(0) },
    history: { used: [], sources: { validation: "0".repeat(64), datasets: 0, datasetsGone: [] } },
    pictureOf: async (frameId) => jpegs.get(frameId) ?? null,
    ...more,
  };
}

/** A model registry that holds a validation set, and counts what it is asked for. */
export class RegistryStub {
  readonly blobs = new Map<string, Buffer>();
  readonly pictures: string[] = [];
  validation = "";
  /** What it throws instead of an answer. */
  failure: Error | null = null;

  put(bytes: Buffer): string {
    const digest = sha256(bytes);
    this.blobs.set(digest, bytes);
    return digest;
  }

  push(frames: readonly { readonly jpeg: Buffer; readonly label: string }[]): void {
    const named = frames.map(({ jpeg, label }) => {
      const digest = this.put(jpeg);
      return { file: `${digest}.jpg`, sha256: digest, bytes: jpeg.length, label };
    });
    this.validation = this.put(Buffer.from(JSON.stringify({ frames: named })));
  }

  get registry(): ModelRegistry {
    const { blobs, pictures } = this;
    const describe = async () => {
      if (this.failure !== null) throw this.failure;
      return { digest: this.validation };
    };
    const get = async function* ({ digest }: { digest: string }) {
      const bytes = blobs.get(digest) as Buffer;
      if (bytes[0] === 0xff) pictures.push(digest);
      yield bytes;
    };
    return { validation: { describe }, blobs: { get } } as unknown as ModelRegistry;
  }
}

export const TOKEN = "the-archives-token";
export const siteModel = someModel({ name: "edge", version: "1.0.0", labels: ["cat", "dog"] });

/** Kafka, frame archive, dataset store and registry of a site whose model is `edge`. */
export class Site {
  readonly kafka = new MemoryKafka({ partitions: 2 });
  readonly registry = new RegistryStub();
  readonly now = Date.now();
  readonly #jpegs = new Map<string, Buffer>();
  readonly #dir: string;
  readonly #archive: Server;

  private constructor(dir: string) {
    this.#dir = dir;
    this.#archive = createServer((request, response) => {
      const jpeg = this.#jpegs.get(decodeURIComponent((request.url ?? "").slice("/frames/".length)));
      if (request.headers.authorization !== `Bearer ${TOKEN}`) response.writeHead(401).end();
      else response.writeHead(jpeg === undefined ? 410 : 200, { "content-type": "image/jpeg" }).end(jpeg);
    });
  }

  static async open(dir: string): Promise<Site> {
    const site = new Site(dir);
    const { kafka, now } = site;
    await new Promise<void>((listening) => site.#archive.listen(0, "127.0.0.1", listening));
    kafka.put(topics.models, "edge/1.0.0", siteModel);
    const aliases = { name: "edge", aliases: { champion: "1.0.0" }, changedAt: now, changedBy: "ada" };
    kafka.put(topics.modelAliases, "edge", { ...aliases, validation: null });
    return site;
  }

  archived(frame: SiteFrame, more: object = {}): void {
    const { digest, sampleDrawn, samplePropensity, jpeg, deviceId, frameId } = frame;
    this.#jpegs.set(frameId, jpeg);
    this.kafka.put(topics.archivedFrames, deviceId, {
      ...parseFrameId(frameId),
      ...{ digest, sampleDrawn, samplePropensity, why: "SAMPLE", verdictId: "", bytes: jpeg.length },
      ...{ receivedAt: this.now, expiresAt: this.now + 86_400_000, site: "north", modelDigest: siteModel.modelDigest },
      ...{ edgeLabel: "cat", edgeConfidence: 0.5, cloudLabel: "dog", cloudConfidence: 0.99, reason: "SAMPLE" },
      ...more,
    });
  }

  label(frame: SiteFrame, label: string | null, labelledBy = "ada"): void {
    const record = { label, source: "PERSON" as const, labelledBy, labelledAt: this.now };
    const id = parseFrameId(frame.frameId);
    this.kafka.put(topics.groundTruth, frame.deviceId, {
      ...id,
      ...record,
      labelSet: null,
      comment: null,
      frameAt: null,
    });
  }

  /** A base set of these photos, stored, and its record. */
  async base(photos: readonly SiteFrame[]): Promise<Dataset> {
    const frames = photos.map(({ digest }, i) => ({
      ...{ file: frameFile(digest), sha256: digest, label: CLASSES[i % 2] as string, labelSource: "IMPORT" },
      ...{ slice: "base", split: i % 10 === 0 ? ("TUNE" as const) : ("TRAIN" as const) },
      ...{ frameId: "", deviceId: "", samplePropensity: null },
    }));
    const jpegs = new Map(photos.map(({ digest, jpeg }) => [digest, jpeg]));
    const stored = await (await this.store()).store(frames, async (digest) => jpegs.get(digest) as Buffer);
    return someDataset({ ...stored, ...datasetContents(frames), kind: "BASE", createdAt: 1 });
  }

  async store(): Promise<DatasetStore> {
    return new DatasetStore(await FolderObjectStore.open({ dir: join(this.#dir, "remote") }));
  }

  /** What an instance of the trainer knows. */
  async datasets(labels = { wanted: 80, trainMin: 20, gateMin: 20 }): Promise<KafkaDatasets> {
    const store = await this.store();
    const workDir = join(this.#dir, "work");
    const now = () => this.now;
    const hashes = new PictureHashes({ dir: join(this.#dir, "hashes"), workDir, decodeMsMax: 60_000 });
    const { port } = this.#archive.address() as AddressInfo;
    const datasets = new KafkaDatasets(
      this.kafka as unknown as TableReader,
      systemClock,
      () => 0.5,
      silentTelemetry(),
      {
        ...{
          store,
          cloudFloor: 0.9,
          labelMsMax: 86_400_000,
          framesMax: 10_000,
          labels,
          baseMin: { TRAIN: 10, TUNE: 2 },
        },
        freezer: new Freezer({ store, workDir, now, hashMsMax: 60_000 }),
        history: new TrainingHistory({ registry: this.registry.registry, store, hashes, now }),
        frameArchive: { url: `http://127.0.0.1:${port}`, token: TOKEN },
      },
      { add: () => {} } as unknown as Health,
    );
    await datasets.onModuleInit();
    return datasets;
  }

  close(): void {
    this.#archive.close();
  }
}
