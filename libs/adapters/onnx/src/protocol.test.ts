import { describe, expect, test } from "@jest/globals";
import { FRAME_GRID, type InferenceResult, noPicture } from "@tributary/inference";
import { seededRandom } from "@tributary/kernel";
import {
  decodeAnswers,
  decodeInfer,
  encodeAnswers,
  encodeInferHead,
  encodeJson,
  MessageReader,
  messageKinds,
} from "./protocol.ts";

const want = { features: true, tensorDigest: false, pixels: true, cells: true };

describe.each([1, 2, 3, 4, 5])("seed %i", (seed) => {
  const random = seededRandom(seed);
  const whole = (max: number) => Math.floor(random() * max);
  const bytes = (length: number) => Uint8Array.from({ length }, () => whole(256));
  const floats = (length: number) => Float32Array.from({ length }, () => random() - 0.5);
  const result = (): InferenceResult =>
    random() < 0.3
      ? { ok: false, code: "image-undecodable", message: `premature end, "${whole(1e6)}" é` }
      : {
          ok: true,
          inference: {
            logits: floats(10),
            features: random() < 0.5 ? floats(1 + whole(64)) : null,
            tensorDigest: random() < 0.5 ? Buffer.from(bytes(32)).toString("hex") : null,
            pixels: random() < 0.5 ? bytes(1 + whole(3_000)) : null,
            cells: random() < 0.5 ? bytes(1 + whole(3_000)) : null,
            picture: {
              channelMeans: [random(), random(), random()],
              channelSds: [random(), random(), random()],
              luminance: random(),
              bitsPerPixel: random(),
              grid: Uint8Array.from({ length: FRAME_GRID }, () => 256 * random()),
              encoder: "standard/2x2/optimised",
              quality: 90,
            },
            timingsMs: { preprocess: random(), run: random() },
          },
        };

  test("messages survive any cutting of the stream", () => {
    const requests = Array.from({ length: 20 }, (_, id) => ({
      id,
      jpegs: Array.from({ length: whole(4) }, () => bytes(whole(2_000))),
      results: Array.from({ length: whole(4) }, result),
    }));
    const stream = Buffer.concat(
      requests.flatMap(({ id, jpegs, results }) => [
        encodeInferHead(id, jpegs, want),
        ...jpegs,
        encodeAnswers(id, results),
        encodeJson(messageKinds.ready, { id }),
      ]),
    );
    const got: unknown[] = [];
    const reader = new MessageReader((kind, body) => {
      if (kind === messageKinds.infer) {
        const request = decodeInfer(body);
        expect(request.want).toEqual(want);
        got.push([request.id, request.jpegs.map((jpeg) => new Uint8Array(jpeg))]);
      } else if (kind === messageKinds.answers) {
        const answers = decodeAnswers(body);
        got.push([answers.id, answers.results]);
      } else got.push(JSON.parse(body.toString()));
    });
    for (let at = 0; at < stream.length; ) {
      const end = at + 1 + (random() < 0.5 ? whole(7) : whole(5_000));
      reader.push(stream.subarray(at, end));
      at = end;
    }
    expect(got).toEqual(requests.flatMap(({ id, jpegs, results }) => [[id, jpegs], [id, results], { id }]));
  });
});

test("an absurd length is never allocated (protocol.ts W1)", () => {
  const reader = new MessageReader(() => {});
  expect(() => reader.push(Buffer.from([0xff, 0xff, 0xff, 0xff, 2]))).toThrow(RangeError);
});

test("answers that announce more than they hold, or hold more, are refused before anything is allocated (protocol.ts W3)", () => {
  const inference = {
    logits: new Float32Array(10),
    features: null,
    tensorDigest: null,
    cells: null,
    pixels: null,
    picture: noPicture,
    timingsMs: { preprocess: 0, run: 0 },
  } as const;
  const body = encodeAnswers(1, [{ ok: true, inference }]).subarray(5);
  expect(decodeAnswers(body).results).toHaveLength(1);
  for (const at of [7, 11, 15, 19]) {
    for (const length of [0x7fff_ffff, 0xffff_ffff, 1 << 20]) {
      const hostile = Buffer.from(body);
      hostile.writeUInt32LE(length, at);
      expect(() => decodeAnswers(hostile)).toThrow();
    }
  }
  for (let length = 0; length < body.length; length++) {
    expect(() => decodeAnswers(body.subarray(0, length))).toThrow();
  }
  expect(() => decodeAnswers(Buffer.concat([body, Buffer.alloc(1)]))).toThrow();
  const refusal = encodeAnswers(1, [{ ok: false, code: "c", message: "m" }]).subarray(5);
  const hostile = Buffer.from(refusal);
  hostile.writeUInt32LE(0xffff_ffff, 7);
  expect(() => decodeAnswers(hostile)).toThrow();
});
