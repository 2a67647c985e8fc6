/** Pictures that a broken camera delivers, made from one of the road before the drive: the same one with a running clock in its corner, and the
 * noise of a sensor that sees nothing. */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";

export type Scenes = { readonly frozen: string; readonly dark: string };

const QUALITY = 90;
const PICTURES = 60;
const NOISE = { mean: 10, sigma: 8 };
const [DIGIT_WIDTH, DIGIT_HEIGHT, STROKE] = [12, 20, 4] as const;
/** Which of seven segments a display lights for each digit: top, upper left, upper right, middle, lower left, lower right, bottom. */
const SEGMENTS = [
  "1110111",
  "0010010",
  "1011101",
  "1011011",
  "0111010",
  "1101011",
  "1101111",
  "1010010",
  "1111111",
  "1111011",
];

/** Writes them below `dir`, from a picture of `road`. */
export async function brokenScenes(dir: string, road: string): Promise<Scenes> {
  const [frozen, dark] = ["frozen", "dark"].map((name) => join(dir, name)) as [string, string];
  const first =
    readdirSync(road)
      .toSorted()
      .find((name) => name.endsWith(".jpg")) ?? "";
  const picture = readFileSync(join(road, first));
  const { width, height } = await sharp(picture).metadata();
  for (const folder of [frozen, dark]) {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
  }
  for (let i = 0; i < PICTURES; i++) {
    const name = `${String(i).padStart(3, "0")}.jpg`;
    const input = Buffer.from(clockOf(i));
    const stopped = sharp(picture).composite([{ input, left: 16, top: 16 }]);
    writeFileSync(join(frozen, name), await stopped.jpeg({ quality: QUALITY }).toBuffer());
    const noise = {
      width,
      height,
      channels: 3 as const,
      background: "black",
      noise: { type: "gaussian" as const, ...NOISE },
    };
    writeFileSync(join(dark, name), await sharp({ create: noise }).jpeg({ quality: QUALITY }).toBuffer());
  }
  return { frozen, dark };
}

/** The clock as SVG, without a font. */
function clockOf(frame: number): string {
  const digits = `${100_000 + 50 * frame}`.slice(-5);
  const rects = [...digits].flatMap((digit, i) => segmentsOf(Number(digit), i * (DIGIT_WIDTH + 2 * STROKE)));
  return `<svg xmlns="http://www.w3.org/2000/svg" width="112" height="32"><rect width="112" height="32"/><g fill="white">${rects.join("")}</g></svg>`;
}

function segmentsOf(digit: number, x: number): readonly string[] {
  const [right, middle, bottom] = [x + DIGIT_WIDTH - STROKE, DIGIT_HEIGHT / 2, DIGIT_HEIGHT];
  const half = DIGIT_HEIGHT / 2 + STROKE;
  const all = [
    [x, 0, DIGIT_WIDTH, STROKE],
    [x, 0, STROKE, half],
    [right, 0, STROKE, half],
    [x, middle, DIGIT_WIDTH, STROKE],
    [x, middle, STROKE, half],
    [right, middle, STROKE, half],
    [x, bottom, DIGIT_WIDTH, STROKE],
  ];
  return all.flatMap(([left, top, width, height], i) =>
    SEGMENTS[digit]?.[i] === "1"
      ? [`<rect x="${left}" y="${(top ?? 0) + STROKE}" width="${width}" height="${height}"/>`]
      : [],
  );
}
