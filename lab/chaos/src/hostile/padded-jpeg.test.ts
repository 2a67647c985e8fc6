import { expect, test } from "@jest/globals";
import { someJpeg } from "@tributary/testing";
import sharp from "sharp";
import { paddedJpeg } from "./padded-jpeg.ts";

test("a padded JPEG has the size that is asked for, and the same pixels", async () => {
  const jpeg = await someJpeg({ side: 16 });
  const pixels = (of: Buffer) => sharp(of).raw().toBuffer();
  for (const bytes of [jpeg.length, 60_000, 200_001]) {
    const padded = paddedJpeg(jpeg, bytes);
    expect(Math.abs(padded.length - bytes)).toBeLessThanOrEqual(4);
    expect(await pixels(padded)).toEqual(await pixels(jpeg));
  }
});
