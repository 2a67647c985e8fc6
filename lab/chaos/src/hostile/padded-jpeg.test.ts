import { expect, test } from "@jest/globals";
import { someJpeg } from "@tributary/testing";
import { paddedJpeg } from "./padded-jpeg.ts";

/** The JPEG without the comments behind its first marker. */
function stripped(jpeg: Buffer): Buffer {
  let at = 2;
  while (jpeg.readUInt16BE(at) === 0xfffe) at += 2 + jpeg.readUInt16BE(at + 2);
  return Buffer.concat([jpeg.subarray(0, 2), jpeg.subarray(at)]);
}

test("a padded JPEG has the size that is asked for, and nothing but comments more", async () => {
  const jpeg = await someJpeg({ side: 16 });
  for (const bytes of [jpeg.length, 60_000, 65_535 + jpeg.length, 200_001]) {
    const padded = paddedJpeg(jpeg, bytes);
    expect(Math.abs(padded.length - bytes)).toBeLessThanOrEqual(4);
    expect(stripped(padded)).toEqual(jpeg);
  }
});
