import { describe, expect, test } from "@jest/globals";
import { type Random, seededRandom } from "@tributary/kernel";
import { JpegSplitter } from "./jpeg-splitter.ts";

const segment = (marker: number, body: Buffer): Buffer => {
  const head = Buffer.from([0xff, marker, 0, 0]);
  head.writeUInt16BE(body.length + 2, 2);
  return Buffer.concat([head, body]);
};

/** Entropy-coded data: any bytes, FF stuffed, restart markers between. */
function scan(random: Random, length: number): Buffer {
  const bytes: number[] = [];
  for (let i = 0; i < length; i++) {
    const byte = Math.floor(random() * 256);
    bytes.push(byte);
    if (byte === 0xff) bytes.push(0);
    if (random() < 0.01) bytes.push(0xff, 0xd0 + Math.floor(random() * 8));
  }
  return Buffer.from(bytes);
}

/** A JPEG's structure, with what trips naive splitters: a thumbnail in APP1, markers inside segments, several scans. */
function jpegOf(random: Random, scanBytes = 300): Buffer {
  const noise = Buffer.from(Array.from({ length: Math.floor(random() * 60) }, () => Math.floor(random() * 256)));
  const thumbnail = Buffer.concat([
    Buffer.from("Exif\0\0"),
    Buffer.from([0xff, 0xd8, 0xff, 0xda, 0, 2, 1, 2, 0xff, 0xd9]),
  ]);
  const parts = [Buffer.from([0xff, 0xd8]), segment(0xe0, noise)];
  if (random() < 0.7) parts.push(segment(0xe1, thumbnail));
  if (random() < 0.3) parts.push(Buffer.from([0xff, 0xff])); // fill bytes before a marker
  parts.push(segment(0xfe, Buffer.from([0xff, 0xd9, 0xff, 0xd8])));
  for (let scans = random() < 0.5 ? 1 : 3; scans > 0; scans--) {
    parts.push(segment(0xda, Buffer.from([1, 1, 0])), scan(random, Math.floor(random() * scanBytes)));
    if (scans > 1) parts.push(segment(0xc4, noise));
  }
  parts.push(Buffer.from([0xff, 0xd9]));
  return Buffer.concat(parts);
}

function feed(splitter: JpegSplitter, stream: Buffer, random: Random): void {
  for (let at = 0; at < stream.length; ) {
    const step = 1 + Math.floor(random() * (random() < 0.2 ? 3 : 400));
    splitter.push(stream.subarray(at, at + step));
    at += step;
  }
}

const seeds = Array.from({ length: 150 }, (_, i) => i);

describe("JPEG splitter", () => {
  test("jpeg-splitter.ts J1: whole frames come out byte for byte, however the stream is cut", () => {
    for (const seed of seeds) {
      const random = seededRandom(seed);
      const frames = Array.from({ length: 8 }, () => jpegOf(random));
      const out: Buffer[] = [];
      const splitter = new JpegSplitter(1 << 20, (jpeg) => out.push(jpeg));
      feed(splitter, Buffer.concat(frames), random);
      expect({ seed, same: out.length === 8 && out.every((f, i) => f.equals(frames[i] as Buffer)) }).toEqual({
        seed,
        same: true,
      });
      expect(splitter.counts).toEqual({ skippedBytes: 0, brokenFrames: 0, oversizedFrames: 0 });
    }
  });

  test("jpeg-splitter.ts J2: multipart headers and garbage between frames are skipped and counted", () => {
    for (const seed of seeds) {
      const random = seededRandom(seed);
      const frames = Array.from({ length: 5 }, () => jpegOf(random));
      let garbage = 0;
      const stream = frames.flatMap((frame) => {
        const junk = Buffer.from(Array.from({ length: Math.floor(random() * 50) }, () => Math.floor(random() * 255))); // no FF
        const header = Buffer.from("\r\n--frame\r\nContent-Type: image/jpeg\r\n\r\n");
        garbage += junk.length + header.length;
        return [junk, header, frame];
      });
      const out: Buffer[] = [];
      const splitter = new JpegSplitter(1 << 20, (jpeg) => out.push(jpeg));
      feed(splitter, Buffer.concat(stream), random);
      expect({ seed, frames: out.length, skipped: splitter.counts.skippedBytes }).toEqual({
        seed,
        frames: 5,
        skipped: garbage,
      });
      expect(out.every((f, i) => f.equals(frames[i] as Buffer))).toBe(true);
    }
  });

  test("jpeg-splitter.ts J2: a frame that breaks off in its scan is dropped, and the next is whole", () => {
    for (const seed of seeds) {
      const random = seededRandom(seed);
      const [broken, next] = [jpegOf(random), jpegOf(random)];
      const scanStart = broken.lastIndexOf(Buffer.from([0xff, 0xda])) + 7;
      const out: Buffer[] = [];
      const splitter = new JpegSplitter(1 << 20, (jpeg) => out.push(jpeg));
      feed(splitter, Buffer.concat([broken.subarray(0, scanStart), next]), random);
      expect({ seed, ok: out.length === 1 && out[0]?.equals(next) }).toEqual({ seed, ok: true });
      expect(splitter.counts.brokenFrames).toBe(1);
    }
  });

  test("jpeg-splitter.ts J2: a frame that breaks off anywhere costs no frame behind it", () => {
    for (const seed of seeds) {
      const random = seededRandom(seed);
      // As video is: no thumbnails, whose markers could be taken for the next frame's.
      const frame = () =>
        Buffer.concat([
          Buffer.from([0xff, 0xd8]),
          segment(0xdb, Buffer.alloc(65, 1 + Math.floor(random() * 250))),
          segment(0xc4, Buffer.alloc(40, 3)),
          segment(0xda, Buffer.from([1, 1, 0])),
          scan(random, 400),
          Buffer.from([0xff, 0xd9]),
        ]);
      const [broken, ...whole] = [frame(), frame(), frame()];
      const cut = 2 + Math.floor(random() * (broken.length - 4));
      const out: Buffer[] = [];
      const splitter = new JpegSplitter(1 << 20, (jpeg) => out.push(jpeg));
      feed(splitter, Buffer.concat([broken.subarray(0, cut), ...whole]), random);
      splitter.end();
      // Cut at the seam of a segment, it may end as the frame behind it; the one after that is whole in any case.
      const last = out.at(-1)?.equals(whole[1] as Buffer);
      expect({ seed, cut, last, enough: out.length >= 2 }).toEqual({ seed, cut, last: true, enough: true });
    }
  });

  test("jpeg-splitter.ts J3: an oversized frame is followed to its end without being kept", () => {
    for (const seed of seeds.slice(0, 30)) {
      const random = seededRandom(seed);
      const small = Buffer.from([0xff, 0xd8, 0xff, 0xd9]);
      const large = Buffer.concat([
        Buffer.from([0xff, 0xd8]),
        segment(0xe1, Buffer.from([0xff, 0xd8, 0xff, 0xd9])), // what a resync by markers would take for a frame
        segment(0xda, Buffer.from([1, 1, 0])),
        Buffer.alloc(5_000, 7),
        segment(0xe1, Buffer.from([0xff, 0xd8, 0xff, 0xd9])),
        Buffer.from([0xff, 0xd9]),
      ]);
      const out: Buffer[] = [];
      const splitter = new JpegSplitter(1_000, (jpeg) => out.push(jpeg));
      feed(splitter, Buffer.concat([small, large, small]), random);
      expect({ seed, out: out.map((f) => f.length), counts: splitter.counts }).toEqual({
        seed,
        out: [4, 4],
        counts: { skippedBytes: 0, brokenFrames: 0, oversizedFrames: 1 },
      });
    }
  });

  test("any bytes at all: nothing throws, and every frame starts and ends as a JPEG within the bound", () => {
    for (const seed of seeds) {
      const random = seededRandom(seed);
      const bytes = Buffer.from(
        Array.from({ length: 3_000 }, () =>
          random() < 0.2 ? 0xff : random() < 0.2 ? 0xd8 + Math.floor(random() * 3) : Math.floor(random() * 256),
        ),
      );
      const out: Buffer[] = [];
      const splitter = new JpegSplitter(500, (jpeg) => out.push(jpeg));
      feed(splitter, bytes, random);
      splitter.end();
      for (const jpeg of out) {
        expect([jpeg.readUInt16BE(0), jpeg.readUInt16BE(jpeg.length - 2), jpeg.length <= 500]).toEqual([
          0xffd8,
          0xffd9,
          true,
        ]);
      }
    }
  });
});
