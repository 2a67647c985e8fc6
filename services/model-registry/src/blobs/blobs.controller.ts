/**
 * Blobs over HTTP: immutable, resumable, bounded.
 *
 * The bytes of a digest never change, so answers may be cached without end, and the digest is the ETag. An interrupted
 * download resumes where it stopped (Range). Concurrent transfers are bounded in both directions, and an upload whose
 * `Content-Length` is too large is refused before it is read (G9). A download of which the client takes nothing for a while
 * is cut off, because a device that went away without closing its connection, or never reads, would occupy its place
 * indefinitely (G9). A slow client keeps its place, and one that was cut off may resume.
 *
 * B1. Blobs of listed packages are open: devices need them. Any other may be a picture of a person, so it wants a token, is
 *     kept by no shared cache, and without the token nobody learns whether it is there.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { Controller, Inject, Param, Req, Res } from "@nestjs/common";
import { modelRegistryApi } from "@tributary/api";
import { type BlobStore, checkedDigest } from "@tributary/blob-store";
import { Failure, reasonOf } from "@tributary/kernel";
import { Door, Problem, Serves, TELEMETRY } from "@tributary/service-kit";
import type { Telemetry } from "@tributary/telemetry";
import { blobRefused, blobServed, blobStored } from "../events.ts";
import { PackageBlobs } from "./package-blobs.ts";
import { rangeOf } from "./range.ts";

export const BLOBS = Symbol("BlobStore");
export const BLOB_LIMITS = Symbol("BlobLimits");
export type BlobLimits = {
  readonly bytesMax: number;
  readonly uploadsMax: number;
  readonly downloadsMax: number;
  /** Without a byte of a download taken. */
  readonly downloadIdleMsMax: number;
};

const IMMUTABLE = "max-age=31536000, immutable";

const routes = modelRegistryApi.blobs;

@Controller()
export class BlobsController {
  readonly #blobs: BlobStore;
  readonly #limits: BlobLimits;
  readonly #telemetry: Telemetry;
  readonly #packages: Pick<PackageBlobs, "has">;
  readonly #door: Pick<Door, "demandRight">;
  #uploads = 0;
  #downloads = 0;

  constructor(
    @Inject(BLOBS) blobs: BlobStore,
    @Inject(BLOB_LIMITS) limits: BlobLimits,
    @Inject(TELEMETRY) telemetry: Telemetry,
    @Inject(PackageBlobs) packages: Pick<PackageBlobs, "has">,
    @Inject(Door) door: Pick<Door, "demandRight">,
  ) {
    this.#packages = packages;
    this.#door = door;
    this.#blobs = blobs;
    this.#limits = limits;
    this.#telemetry = telemetry;
    const gauge = { name: "tributary_registry_transfers", help: "Blobs in transfer", labels: ["direction"] };
    telemetry.gauge(gauge, () => [
      { labels: { direction: "in" }, value: this.#uploads },
      { labels: { direction: "out" }, value: this.#downloads },
    ]);
  }

  @Serves(routes.has)
  async head(
    @Param("digest") name: string,
    @Req() request: IncomingMessage,
    @Res() response: ServerResponse,
  ): Promise<void> {
    const { size, headers } = await this.#found(name, request);
    response.writeHead(200, { ...headers, "content-length": size });
    response.end();
  }

  @Serves(routes.get)
  async get(
    @Param("digest") name: string,
    @Req() request: IncomingMessage,
    @Res() response: ServerResponse,
  ): Promise<void> {
    const { digest, size, headers } = await this.#found(name, request);
    if (request.headers["if-none-match"] === headers.etag) {
      response.writeHead(304, headers).end();
      return;
    }
    const { range, "if-range": ifRange } = request.headers;
    const asked = rangeOf(ifRange === undefined || ifRange === headers.etag ? range : undefined, size);
    if (asked.kind === "outside") {
      const more = { headers: { "content-range": `bytes */${size}` } };
      throw new Problem(416, "range-outside", "give-up", `${digest} has ${size} bytes, ${range} is outside.`, more);
    }
    if (this.#downloads >= this.#limits.downloadsMax) throw busy("downloads");
    this.#downloads += 1;
    response.setTimeout(this.#limits.downloadIdleMsMax, () => response.destroy());
    try {
      if (asked.kind === "whole") {
        response.writeHead(200, { ...headers, "content-length": size });
      } else {
        const { from, to } = asked.range;
        const part = { "content-range": `bytes ${from}-${to}/${size}`, "content-length": to - from + 1 };
        response.writeHead(206, { ...headers, ...part });
      }
      const bytes = asked.kind === "whole" ? this.#blobs.get(digest) : this.#blobs.get(digest, asked.range);
      await pipeline(Readable.from(bytes), response).catch(() => response.destroy()); // cut off: the client sees it
      const sent = asked.kind === "whole" ? size : asked.range.to - asked.range.from + 1;
      if (response.writableFinished) this.#telemetry.emit(blobServed, { digest, bytes: sent });
    } finally {
      this.#downloads -= 1;
    }
  }

  @Serves(routes.put)
  async put(
    @Param("digest") name: string,
    @Req() request: IncomingMessage,
    @Res() response: ServerResponse,
  ): Promise<void> {
    const digest = digestOf(name);
    const { bytesMax, uploadsMax } = this.#limits;
    if (request.readableEnded) {
      const detail = "Send the bytes as application/octet-stream.";
      throw new Problem(400, "blob-media-type", "give-up", detail);
    }
    if (Number(request.headers["content-length"] ?? 0) > bytesMax) throw this.#refused(digest, tooLarge(bytesMax));
    if (this.#uploads >= uploadsMax) throw busy("uploads");
    this.#uploads += 1;
    try {
      const { bytes } = await this.#blobs.put(request, { expected: digest, bytesMax });
      this.#telemetry.emit(blobStored, { digest, bytes });
      response.writeHead(201, { "content-type": "application/json", location: `/blobs/sha256/${digest}` });
      response.end(JSON.stringify({ digest, bytes }));
    } catch (error) {
      throw this.#refused(digest, problemOf(error, bytesMax));
    } finally {
      this.#uploads -= 1;
    }
  }

  /** B1 */
  async #found(name: string, request: IncomingMessage) {
    const digest = digestOf(name);
    const isOpen = await this.#packages.has(digest);
    if (!isOpen) this.#door.demandRight(request);
    const size = await this.#blobs.size(digest);
    if (size === undefined) throw new Problem(404, "blob-unknown", "give-up", `No blob has the SHA-256 ${digest}.`);
    const headers = {
      "content-type": "application/octet-stream",
      "cache-control": `${isOpen ? "public" : "private"}, ${IMMUTABLE}`,
      "accept-ranges": "bytes",
      etag: `"${digest}"`,
    };
    return { digest, size, headers };
  }

  #refused(digest: string, problem: Problem): Problem {
    const { code, detail } = problem.details;
    this.#telemetry.emit(blobRefused, { digest, code, reason: detail });
    return problem;
  }
}

function digestOf(name: string): string {
  try {
    return checkedDigest(name);
  } catch (error) {
    throw new Problem(400, "blob-digest-malformed", "give-up", `${reasonOf(error)}.`);
  }
}

function problemOf(error: unknown, bytesMax: number): Problem {
  if (error instanceof Problem) return error;
  if (!(error instanceof Failure)) {
    // The stream's own: the client went away.
    return new Problem(400, "upload-cut-off", "retry", `The upload did not reach its end: ${reasonOf(error)}.`);
  }
  switch (error.code) {
    case "blob-too-large":
      return tooLarge(bytesMax);
    case "blob-digest-mismatch":
      return new Problem(422, error.code, "give-up", `${error.message}.`);
    case "blob-store-full":
      return new Problem(503, error.code, "ask-a-person", `${error.message}: make it larger, or revoke and sweep.`);
    default:
      return new Problem(503, error.code, error.advice, error.message, { headers: { "Retry-After": "1" } });
  }
}

const tooLarge = (bytesMax: number) =>
  new Problem(413, "blob-too-large", "give-up", `A file of a package may have ${bytesMax} bytes here.`);

const busy = (what: string) =>
  new Problem(503, `${what}-busy`, "retry", `Too many ${what} at once. Try again.`, {
    headers: { "Retry-After": "2" },
  });
