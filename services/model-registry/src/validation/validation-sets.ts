/**
 * The validation frames of each model: a set that was pushed, else the folder that the configuration names.
 *
 * A set counts once every frame of it is stored, is of a class that the model has, and can be decoded, which a process of
 * its own checks, one set at a time. Until models.aliases.v1 has the new set, the old one stays (registry.ts R2, R4). How
 * many frames and bytes a set may have is checked before a frame of it is read; one manifest is read at a time (G9).
 */
import { createWriteStream } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { Inject, Injectable } from "@nestjs/common";
import type { ValidationDetail, ValidationView } from "@tributary/api";
import { type BlobStore, bytesOf } from "@tributary/blob-store";
import type { ValidationSet } from "@tributary/contracts";
import { type Clock, type Digest, Failure } from "@tributary/kernel";
import {
  bytesIn,
  countsOf,
  DEVICES_FILE,
  LABELS_FILE,
  parseValidationManifest,
  runTask,
  SLICES_FILE,
  someOf,
  type ValidationManifest,
  validationLimits,
} from "@tributary/model-packaging";
import { sha256 } from "@tributary/model-store";
import { ModelTable } from "@tributary/models";
import { CLOCK, CONFIG, Problem, TELEMETRY } from "@tributary/service-kit";
import type { Telemetry } from "@tributary/telemetry";
import { BLOBS } from "../blobs/blobs.controller.ts";
import type { RegistryConfig } from "../config.ts";
import { validationExamined, validationPushed, validationRefused } from "../events.ts";
import { CHAMPION } from "../gating/due.ts";
import { Packages } from "../models/packages.ts";
import { Registry } from "../models/registry.ts";
import { Turns } from "../models/turns.ts";
import { STOP } from "../stop.ts";

type Contents = Pick<ValidationDetail, "classes" | "bytes">;

const AT_ONCE = 8;

@Injectable()
export class ValidationSets {
  readonly #turns: Turns;
  /** By model, of the set that it has. */
  readonly #known = new Map<string, { readonly digest: Digest; readonly contents: Promise<Contents> }>();

  constructor(
    @Inject(CONFIG) private readonly config: RegistryConfig,
    private readonly table: ModelTable,
    private readonly registry: Registry,
    @Inject(BLOBS) private readonly blobs: BlobStore,
    private readonly packages: Packages,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(TELEMETRY) private readonly telemetry: Telemetry,
    @Inject(STOP) private readonly stop: AbortController,
  ) {
    this.#turns = new Turns("validation sets", config.checks.waitingMax);
  }

  has(name: string): boolean {
    return this.table.validation(name) !== null || this.#folder(name) !== undefined;
  }

  list(): readonly ValidationView[] {
    const { table, config } = this;
    const names = [...new Set([...table.names(), ...Object.keys(config.validation)])].sort();
    return names.filter((name) => this.has(name)).map((name) => this.#view(name));
  }

  async describe(name: string): Promise<ValidationDetail> {
    if (!this.has(name)) {
      const detail = `There are no validation frames for ${name}. Push them: tributary validation push ${name} FOLDER.`;
      throw new Problem(404, "validation-unknown", "give-up", detail);
    }
    const set = this.table.validation(name);
    const contents = set === null ? { classes: null, bytes: null } : await this.#contents(name, set.digest);
    return { ...this.#view(name), ...contents };
  }

  /** Read once, because a request needs no token. */
  #contents(name: string, digest: Digest): Promise<Contents> {
    const known = this.#known.get(name);
    if (known?.digest === digest) return known.contents;
    const contents = this.manifest(digest).then((manifest) => ({
      classes: countsOf(manifest),
      bytes: bytesIn(manifest),
    }));
    this.#known.set(name, { digest, contents });
    contents.catch(() => this.#known.delete(name));
    return contents;
  }

  /** A set that was pushed before returns the same answer; `isNew` is false then. */
  async push(name: string, digest: Digest, by: string): Promise<{ readonly isNew: boolean }> {
    try {
      return await this.#push(name, digest, by);
    } catch (error) {
      const { code, reason } = refusalOf(error);
      this.telemetry.emit(validationRefused, { name, digest, code, reason });
      throw error;
    }
  }

  /** Gives a folder with the frames to `work`; of a pushed set with its digest, and removed afterwards. */
  async withFrames<T>(name: string, work: (dir: string, digest: Digest | undefined) => Promise<T>): Promise<T> {
    const set = this.table.validation(name);
    if (set !== null) {
      const manifest = await this.manifest(set.digest);
      return this.#withFolder(manifest, (dir) => work(dir, set.digest));
    }
    const folder = this.#folder(name);
    if (folder !== undefined) return work(folder, undefined);
    const message = `there are no validation frames for ${name}: tributary validation push ${name} FOLDER`;
    throw new Failure("validation-missing", "retry", message);
  }

  /** Gives a folder with the frames of a slice that an automatic candidate of the model names to `work`, removed afterwards. They
   * are checked as a set that is pushed is, except that each can be decoded: the gate decodes them. */
  async withSliceFrames<T>(name: string, digest: Digest, work: (dir: string) => Promise<T>): Promise<T> {
    const manifest = await this.#sliceManifest(name, digest).catch((error: unknown) => {
      if (!(error instanceof Failure)) throw error;
      throw new Failure(error.code, error.advice, `the frames of its slice (sliceFrames ${digest}): ${error.message}`);
    });
    return this.#withFolder(manifest, work);
  }

  async #sliceManifest(name: string, digest: Digest): Promise<ValidationManifest> {
    const manifest = await this.manifest(digest);
    this.#check(name, manifest);
    await this.#checkComplete(manifest);
    return manifest;
  }

  async manifest(digest: Digest): Promise<ValidationManifest> {
    const bytes = await bytesOf(this.blobs, digest, validationLimits.manifestBytesMax);
    if (sha256(bytes) === digest) return parseValidationManifest(bytes);
    throw new Failure("validation-digest-mismatch", "ask-a-person", `the blob ${digest} has other bytes than its name`);
  }

  #push(name: string, digest: Digest, by: string): Promise<{ readonly isNew: boolean }> {
    const { table, registry, clock, telemetry } = this;
    return this.#turns.take(async () => {
      if (table.validation(name)?.digest === digest) return { isNew: false };
      const manifest = await this.manifest(digest);
      this.#check(name, manifest);
      const frames = manifest.frames.length;
      return registry.holding([digest, ...manifest.frames.map((frame) => frame.sha256)], async () => {
        await this.#checkComplete(manifest);
        await this.#examine(name, manifest);
        await this.#checkComplete(manifest);
        await registry.judgeOn(name, { digest, frames, pushedBy: by, pushedAt: clock.now() });
        telemetry.emit(validationPushed, { name, digest, frames, by });
        return { isNew: true };
      });
    });
  }

  /** What follows from its manifest alone. */
  #check(name: string, manifest: ValidationManifest): void {
    const { validationBytesMax: bytesMax } = this.config.checks;
    const bytes = bytesIn(manifest);
    if (bytes > bytesMax) {
      const message = `the frames have ${bytes} bytes in all, at most ${bytesMax} may be pushed (checks.validationBytesMax)`;
      throw new Failure("validation-too-large", "give-up", message);
    }
    const classes = this.#classesOf(name);
    const unknown = manifest.frames.filter(({ label }) => !classes.includes(label));
    if (unknown.length === 0) return;
    const some = someOf(unknown.map(({ file, label }) => `"${file}" is a "${label}"`));
    const message = `${some}: ${name} has no such class; its classes are ${someOf(classes)}`;
    throw new Failure("validation-class-unknown", "give-up", message);
  }

  /** Of the champion, which every challenger has to share, else of the newest version. */
  #classesOf(name: string): readonly string[] {
    const { table } = this;
    const [newest] = table.versions(name).filter((model) => model.state === "LISTED");
    const model = table.byAlias(name, CHAMPION) ?? newest;
    if (model !== undefined) return model.labels;
    const detail = `There is no model ${name}: push a version of it first, which lists its classes.`;
    throw new Problem(404, "model-unknown", "give-up", detail);
  }

  async #checkComplete({ frames }: ValidationManifest): Promise<void> {
    const { blobs } = this;
    const stored = new Set<string>();
    await eachOf(frames, async ({ file, sha256: digest, bytes }) => {
      const size = await blobs.size(digest);
      if (size === undefined) return;
      stored.add(digest);
      if (size !== bytes) {
        const message = `${file}: its blob has ${size} bytes, the manifest lists ${bytes}`;
        throw new Failure("validation-digest-mismatch", "give-up", message);
      }
    });
    const missing = frames.filter(({ sha256 }) => !stored.has(sha256));
    if (missing.length === 0) return;
    const some = someOf(missing.map(({ file, sha256 }) => `${file} (${sha256})`));
    const message = `the registry has no blob for ${some}: upload it first`;
    throw new Failure("validation-blobs-missing", "give-up", message);
  }

  async #examine(name: string, manifest: ValidationManifest): Promise<void> {
    const { config, telemetry } = this;
    const { signal } = this.stop;
    const progress = (line: string) => telemetry.emit(validationExamined, { name, line });
    await this.#withFolder(manifest, (dir) =>
      runTask(
        { kind: "examine-set", dir, classes: this.#classesOf(name) },
        { msMax: config.checks.msMax, signal, progress },
      ),
    );
  }

  #withFolder<T>({ frames }: ValidationManifest, work: (dir: string) => Promise<T>): Promise<T> {
    const { blobs, packages } = this;
    return packages.withScratch(async (dir) => {
      await eachOf(frames, async ({ file, sha256: digest }) => {
        const path = join(dir, file);
        await mkdir(dirname(path), { recursive: true });
        await pipeline(Readable.from(blobs.get(digest)), createWriteStream(path));
      });
      for (const [name, key] of [
        [LABELS_FILE, "label"] as const,
        [SLICES_FILE, "slice"] as const,
        [DEVICES_FILE, "device"] as const,
      ]) {
        const texts = frames.flatMap(({ file, [key]: text }) => (text === undefined ? [] : [[file, text] as const]));
        if (texts.length > 0) await writeFile(join(dir, name), JSON.stringify(Object.fromEntries(texts)));
      }
      return work(dir);
    });
  }

  #folder(name: string): string | undefined {
    const folders = this.config.validation;
    return Object.hasOwn(folders, name) ? folders[name] : undefined;
  }

  #view(model: string): ValidationView {
    const set: ValidationSet | null = this.table.validation(model);
    return {
      model,
      source: set === null ? "configured" : "pushed",
      digest: set?.digest ?? null,
      frames: set?.frames ?? null,
      pushedBy: set?.pushedBy ?? null,
      pushedAt: set === null ? null : new Date(set.pushedAt).toISOString(),
    };
  }
}

function refusalOf(error: unknown): { readonly code: string; readonly reason: string } {
  if (error instanceof Problem) return { code: error.details.code, reason: error.details.detail };
  if (error instanceof Failure) return { code: error.code, reason: error.message };
  return { code: "internal", reason: String(error) };
}

async function eachOf<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const queue = items.values();
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      for (const item of queue) await work(item);
    }),
  );
}
