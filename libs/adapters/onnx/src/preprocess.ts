/** Converts JPEG bytes to resized pixels, in the child, exactly as the package specifies. Decoding is at full size, by the decoder that
 * Pillow has, too (libjpeg-turbo: exact DCT, smooth chroma). What differs are colour profiles, which libvips applies and Pillow ignores,
 * and the resize: resize.ts has Pillow's.
 *
 * D1. A picture's header is checked before a byte of it is decoded: its size cannot exhaust the memory (G9).
 * D2. A damaged picture gives a failed result, never an exception; a truncated one is damaged too. */
import {
  jpegEncoder,
  jpegHeader,
  jpegQuality,
  type PictureStatistics,
  type Preprocessing,
  pictureCells,
  type ResizeKernel,
} from "@tributary/inference";
import sharp, { type Sharp, type SharpOptions } from "sharp";
import { type Pixels, resizeAsPillow } from "./resize.ts";

export type Picture =
  | {
      readonly ok: true;
      readonly pixels: Uint8Array;
      readonly width: number;
      readonly height: number;
      /** As wanted. */
      readonly cells: Uint8Array | null;
      readonly jpeg: Pick<PictureStatistics, "bitsPerPixel" | "encoder" | "quality">;
    }
  | { readonly ok: false; readonly code: string; readonly message: string };

const SHARP_KERNELS: Partial<Record<ResizeKernel, "linear" | "cubic" | "lanczos3">> = {
  bilinear: "linear",
  bicubic: "cubic",
  lanczos: "lanczos3",
};

/** Resized pixels, interleaved RGB. */
export async function decodePicture(
  jpeg: Buffer,
  { resize, library }: Pick<Preprocessing, "resize" | "library">,
  pixelsMax: number,
  wantsCells = false,
): Promise<Picture> {
  const header = jpegHeader(jpeg);
  if (header === null) return { ok: false, code: "image-undecodable", message: "not a JPEG, or cut before its header" };
  const { width, height } = header;
  if (width * height > pixelsMax) {
    const message = `${width} x ${height} pixels, at most ${pixelsMax} in all`;
    return { ok: false, code: "image-too-large", message };
  }
  try {
    const isPillows = library === "pillow";
    const options = { failOn: "warning", limitInputPixels: pixelsMax, sequentialRead: true } as const;
    const image = sharp(jpeg, { ...options, ignoreIcc: isPillows });
    const isWhole = resize === null || isPillows;
    const side = isWhole ? header : resize;
    const resized = isWhole ? image : resizedByLibvips(image, header, resize);
    const raw = await resized.toColourspace("srgb").raw().toBuffer();
    const decoded = { pixels: threeChannels(raw, side.width * side.height), width: side.width, height: side.height };
    const picture = isPillows && resize !== null ? resizeAsPillow(decoded, resize, resize.kernel) : decoded;
    // Cells are of the camera's own pixels. libvips resizes while it decodes, and gives other values when it may not.
    const isTwice = wantsCells && !isWhole && width * height <= TWICE_PIXELS_MAX;
    const whole = isTwice ? await decodedWhole(jpeg, header, options) : decoded;
    const cells = wantsCells ? pictureCells(whole.pixels, whole.width, whole.height) : null;
    const coded = { bitsPerPixel: (jpeg.length * 8) / (header.width * header.height), ...encodedBy(jpeg) };
    return { ok: true, ...picture, cells, jpeg: coded };
  } catch (error) {
    const message = error instanceof Error ? error.message.split("\n", 1)[0] : String(error);
    return { ok: false, code: "image-undecodable", message: message?.slice(0, 200) ?? "undecodable" };
  }
}

/** Decoding a larger picture a second time would take more than a millisecond or two of a frame. */
const TWICE_PIXELS_MAX = 640 * 480;

async function decodedWhole(jpeg: Buffer, { width, height }: Side, options: SharpOptions): Promise<Pixels> {
  const raw = await sharp(jpeg, options).toColourspace("srgb").raw().toBuffer();
  return { pixels: threeChannels(raw, width * height), width, height };
}

type Side = { readonly width: number; readonly height: number };
type Resize = NonNullable<Preprocessing["resize"]>;

/** A decoded RGB picture, resized as `decodePicture` resizes. */
export async function resizePixels(
  picture: Pixels,
  resize: Resize,
  library: Preprocessing["library"],
): Promise<Pixels> {
  const { width, height, kernel } = resize;
  if (library === "pillow") return resizeAsPillow(picture, resize, kernel);
  const image = sharp(picture.pixels, { raw: { width: picture.width, height: picture.height, channels: 3 } });
  return { pixels: await resizedByLibvips(image, picture, resize).raw().toBuffer(), width, height };
}

function resizedByLibvips(image: Sharp, from: { width: number; height: number }, { width, height, kernel }: Resize) {
  if (width === from.width && height === from.height) return image;
  // Shrinking while decoding would double the difference to other implementations.
  const how = { kernel: SHARP_KERNELS[kernel] ?? "linear", fit: "fill", fastShrinkOnLoad: false } as const;
  return image.resize(width, height, how);
}

/** A grey JPEG decodes to one channel; one with alpha does not exist, but a fourth channel is dropped all the same. */
function threeChannels(raw: Buffer, area: number): Uint8Array {
  const count = raw.length / area;
  if (count === 3) return raw;
  const rgb = new Uint8Array(area * 3);
  for (let i = 0; i < area; i++) {
    for (let channel = 0; channel < 3; channel++) {
      rgb[i * 3 + channel] = raw[i * count + (count < 3 ? 0 : channel)] as number;
    }
  }
  return rgb;
}

const encodedBy = (jpeg: Uint8Array) => ({ encoder: jpegEncoder(jpeg), quality: jpegQuality(jpeg) });
