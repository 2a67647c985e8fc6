// What is on, in or before the lens of one camera. Its place is the camera's own and stays; only what hangs loose moves with the frame.
import { between, type Fault, type Moment } from "./fault.ts";
import {
  clouds,
  drawDisc,
  drawLine,
  emptyMask,
  maskOf,
  noise,
  type Point,
  randomOf,
  seedOf,
  signed,
} from "./fields.ts";
import {
  blended,
  type Colour,
  inChannels,
  type Picture,
  sideOf,
  smoothStep,
  unit,
  veiled,
  withPixels,
} from "./picture.ts";
import { blurred, displaced, motionBlurred, sampleInto } from "./resample.ts";

const { abs, ceil, floor, hypot, max, min, round } = Math;

export const lensFaults: readonly Fault[] = [
  {
    name: "defocus",
    about: "the lens is out of focus",
    cause: "camera",
    place: "camera",
    apply: (picture, at) => blurred(picture, sideOf(picture) * between(0.011, 0.06, at)),
  },
  {
    name: "lens-dirt",
    about: "specks of mud and insects are on the lens",
    cause: "camera",
    place: "camera",
    apply: dirty,
  },
  {
    name: "lens-smear",
    about: "the lens was wiped with a greasy cloth, or touched",
    cause: "camera",
    place: "camera",
    apply: smeared,
  },
  {
    name: "lens-scratches",
    about: "the front glass is scratched",
    cause: "camera",
    place: "camera",
    apply: scratched,
  },
  {
    name: "condensation",
    about: "moisture is inside the housing, most in the morning",
    cause: "camera",
    place: "camera",
    apply: condensed,
  },
  {
    name: "water-drops",
    about: "drops of water hang on the front glass",
    cause: "camera",
    place: "camera",
    apply: dropped,
  },
  {
    name: "cracked-glass",
    about: "the front glass is cracked",
    cause: "camera",
    place: "camera",
    apply: cracked,
  },
  {
    name: "spider-web",
    about: "a spider's web is before the lens, and sways",
    cause: "camera",
    place: "camera",
    apply: webbed,
  },
  {
    name: "covered",
    about: "a leaf, a cloth or tape covers a part of the lens, or all of it",
    cause: "camera",
    place: "camera",
    apply: covered,
  },
];

function dirty(picture: Picture, at: Moment): Picture {
  const random = randomOf("lens-dirt", at.camera);
  const side = sideOf(picture);
  const mask = emptyMask(picture);
  for (let left = between(9, 34, at); left > 0; left--) {
    const middle: Point = [random() * picture.width, random() * picture.height];
    const radius = side * (0.025 + 0.08 * random() ** 2);
    // A speck is a few discs side by side, so that none is round.
    for (let lobe = 0; lobe < 4; lobe++) {
      const beside: Point = [middle[0] + 0.7 * radius * signed(random), middle[1] + 0.7 * radius * signed(random)];
      drawDisc(mask, picture, beside, radius * (0.6 + 0.5 * random()), 0.35, 0.75 + 0.25 * random());
    }
  }
  return veiled(picture, mask, [44, 36, 27], between(0.75, 0.97, at));
}

function smeared(picture: Picture, at: Moment): Picture {
  const random = randomOf("lens-smear", at.camera);
  const angle = random() * Math.PI;
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  const [x, y] = [0.2 * signed(random), 0.2 * signed(random)];
  const furrows = Float32Array.from({ length: 64 }, () => random());
  const wide = between(0.24, 0.62, at);
  const mask = maskOf(picture, (u, v) => {
    const across = (u - x) * sin - (v - y) * cos;
    // A wipe is an arc, not a line.
    const bent = across + 0.35 * ((u - x) * cos + (v - y) * sin) ** 2;
    const furrow = (bent + 2) * 14;
    const i = floor(furrow);
    const f = furrow - i;
    const depth = (furrows[i & 63] as number) * (1 - f) + (furrows[(i + 1) & 63] as number) * f;
    return smoothStep(wide, wide * 0.4, abs(bent)) * (0.55 + 0.45 * depth);
  });
  const length = sideOf(picture) * between(0.08, 0.3, at);
  const dragged = motionBlurred(picture, cos * length, sin * length);
  const greasy = blended(picture, blurred(dragged, length * 0.12), mask);
  return veiled(greasy, mask, [188, 186, 176], between(0.2, 0.55, at));
}

function scratched(picture: Picture, at: Moment): Picture {
  const random = randomOf("lens-scratches", at.camera);
  const { width, height } = picture;
  const side = sideOf(picture);
  const [light, dark] = [emptyMask(picture), emptyMask(picture)];
  for (let left = between(6, 30, at); left > 0; left--) {
    const angle = random() * Math.PI;
    const length = side * (0.2 + 0.7 * random());
    const bend = 0.35 * signed(random);
    const thick = side * (0.004 + 0.01 * random());
    let from: Point = [random() * width, random() * height];
    for (let piece = 0; piece < 4; piece++) {
      const towards = angle + bend * (piece / 3);
      const to: Point = [from[0] + (Math.cos(towards) * length) / 4, from[1] + (Math.sin(towards) * length) / 4];
      drawLine(light, picture, from, to, thick, 0.6 + 0.4 * random());
      drawLine(dark, picture, [from[0] + thick, from[1] + thick], [to[0] + thick, to[1] + thick], thick, 0.7);
      from = to;
    }
  }
  const opacity = between(0.6, 1, at);
  return veiled(veiled(picture, dark, [25, 25, 28], opacity), light, [236, 238, 240], opacity);
}

function condensed(picture: Picture, at: Moment): Picture {
  const random = randomOf("condensation", at.camera);
  const [x, y] = [0.25 * signed(random), 0.1 + 0.25 * signed(random)];
  const patches = clouds(picture, seedOf("condensation", at.camera), 5);
  // It is at its most at six in the morning, and half as much in the evening.
  const wet = between(0.42, 1, at) * (0.85 + 0.15 * Math.cos(((at.hour - 6) / 24) * 2 * Math.PI));
  const mask = maskOf(picture, (u, v, pixel) => {
    const away = hypot(u - x, v - y);
    return smoothStep(0, 0.55, wet + 0.5 * ((patches[pixel] as number) - 0.5) - away * 0.9) * 0.95;
  });
  const fogged = blended(picture, blurred(picture, sideOf(picture) * between(0.03, 0.07, at)), mask);
  return veiled(fogged, mask, [205, 210, 214], between(0.3, 0.6, at));
}

/** A drop is a small lens: inside it the scene is upside down, dark at the rim and bright where the light comes through. */
function dropped(picture: Picture, at: Moment): Picture {
  const random = randomOf("water-drops", at.camera);
  const { width, height, channels } = picture;
  const side = sideOf(picture);
  const out = Uint8ClampedArray.from(picture.data);
  const soft = blurred(picture, side * 0.012);
  for (let left = between(3, 32, at); left > 0; left--) {
    const [cx, cy] = [random() * width, random() * height];
    const radius = side * (0.035 + 0.085 * random() ** 2);
    const tall = 1 + 0.25 * random();
    for (let y = max(0, ceil(cy - radius * tall)); y < min(height, cy + radius * tall); y++)
      for (let x = max(0, ceil(cx - radius)); x < min(width, cx + radius); x++) {
        const [dx, dy] = [(x - cx) / radius, (y - cy) / (radius * tall)];
        const away = hypot(dx, dy);
        if (away > 1) continue;
        const i = (y * width + x) * channels;
        const bend = (1.5 + 2.5 * away * away) * radius;
        sampleInto(out, i, soft, cx - dx * bend, cy - dy * bend);
        const rim = 1 - 0.5 * smoothStep(0.62, 1, away);
        const shine = 150 * smoothStep(0.4, 0.1, hypot(dx + 0.3, dy + 0.4)) + 40 * smoothStep(0.3, 0.8, dy);
        for (let c = i; c < i + channels; c++) out[c] = (out[c] as number) * rim + shine;
      }
  }
  return withPixels(picture, out);
}

function cracked(picture: Picture, at: Moment): Picture {
  const random = randomOf("cracked-glass", at.camera);
  const { width, height } = picture;
  const side = sideOf(picture);
  const hit: Point = [width * (0.3 + 0.4 * random()), height * (0.3 + 0.4 * random())];
  const count = round(between(4, 13, at));
  const angles = Array.from({ length: count }, (_, i) => ((i + 0.7 * random()) / count) * 2 * Math.PI);
  const rays = angles.map((angle) => ray(hit, angle, side, random));
  const slips = angles.map(() => [signed(random), signed(random)] as const);
  const slip = side * between(0.006, 0.06, at);
  const [dx, dy] = [emptyMask(picture), emptyMask(picture)];
  for (let y = 0, pixel = 0; y < height; y++)
    for (let x = 0; x < width; x++, pixel++) {
      // Each pane between two rays refracts by its own tilt.
      const angle = (Math.atan2(y - hit[1], x - hit[0]) + 2 * Math.PI) % (2 * Math.PI);
      let pane = 0;
      while (pane < count && (angles[pane] as number) < angle) pane++;
      const by = slips[pane % count] as readonly [number, number];
      dx[pixel] = by[0] * slip;
      dy[pixel] = by[1] * slip;
    }
  const [light, dark] = [emptyMask(picture), emptyMask(picture)];
  const thick = side * between(0.005, 0.012, at);
  const crack = (from: Point, to: Point) => {
    drawLine(dark, picture, [from[0] + thick, from[1] + thick], [to[0] + thick, to[1] + thick], thick, 0.85);
    drawLine(light, picture, from, to, thick);
  };
  for (const points of rays) for (let i = 1; i < points.length; i++) crack(points[i - 1] as Point, points[i] as Point);
  // Cracks across, from ray to ray.
  for (let i = 0; i < count; i++)
    for (const joint of [1, 3])
      if (random() < between(0.35, 0.8, at)) crack(rays[i]?.[joint] as Point, rays[(i + 1) % count]?.[joint] as Point);
  drawDisc(light, picture, hit, side * between(0.02, 0.05, at), 0.6);
  return veiled(veiled(displaced(picture, dx, dy), dark, [20, 22, 24]), light, [235, 240, 242], 0.9);
}

/** A jagged line from the middle to beyond the edge. */
function ray(from: Point, angle: number, side: number, random: () => number): readonly Point[] {
  const points: Point[] = [from];
  for (let i = 1; i <= 7; i++) {
    const away = side * 0.035 * i * (i + 1);
    const bent = angle + 0.12 * signed(random);
    points.push([from[0] + Math.cos(bent) * away, from[1] + Math.sin(bent) * away]);
  }
  return points;
}

function webbed(picture: Picture, at: Moment): Picture {
  const random = randomOf("spider-web", at.camera);
  const { width, height } = picture;
  const side = sideOf(picture);
  const sway = side * 0.012;
  const swung = randomOf("spider-web", at.camera, at.frame);
  const hub: Point = [
    width * (random() < 0.5 ? 0.25 : 0.75) + sway * signed(swung),
    height * (0.2 + 0.3 * random()) + sway * signed(swung),
  ];
  const threads = Array.from({ length: 13 }, (_, i) => ((i + 0.5 * random()) / 13) * 2 * Math.PI);
  const reach = side * between(0.32, 1.1, at);
  const thick = side * between(0.006, 0.012, at);
  const mask = emptyMask(picture);
  const pointAt = (angle: number, away: number): Point => [
    hub[0] + Math.cos(angle) * away,
    hub[1] + Math.sin(angle) * away,
  ];
  for (const angle of threads) drawLine(mask, picture, hub, pointAt(angle, reach), thick, 0.9);
  const rings = round(between(6, 13, at));
  for (let ring = 1; ring <= rings; ring++)
    for (let i = 0; i < threads.length; i++) {
      const [a, b] = [
        threads[i] as number,
        (threads[(i + 1) % threads.length] as number) + (i === 12 ? 2 * Math.PI : 0),
      ];
      const away = reach * (ring / (rings + 0.5)) * (0.95 + 0.1 * random());
      const sag = pointAt((a + b) / 2, away * 0.88);
      drawLine(mask, picture, pointAt(a, away), sag, thick * 0.8, 0.75);
      drawLine(mask, picture, sag, pointAt(b, away), thick * 0.8, 0.75);
    }
  // The camera's own lamp lights the threads at night.
  const hour = ((at.hour % 24) + 24) % 24;
  const lit: Colour = hour > 20 || hour < 5 ? [250, 250, 250] : [214, 216, 218];
  const threaded = veiled(picture, mask, lit, between(0.6, 0.95, at));
  const spider = emptyMask(picture);
  const [sx, sy] = pointAt(random() * 6, reach * 0.3);
  drawDisc(spider, picture, [sx, sy], side * 0.035, 0.5);
  for (let leg = 0; leg < 8; leg++)
    drawLine(
      spider,
      picture,
      [sx, sy],
      [sx + side * 0.08 * Math.cos(leg * 0.8), sy + side * 0.07 * Math.sin(leg * 0.8)],
      side * 0.008,
    );
  return veiled(threaded, spider, [30, 25, 20], 0.9);
}

const COVERS: readonly Colour[] = [
  [17, 17, 18],
  [48, 64, 26],
  [128, 116, 100],
];

function covered(picture: Picture, at: Moment): Picture {
  const random = randomOf("covered", at.camera);
  const { data, channels } = picture;
  const angle = random() * 2 * Math.PI;
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  const colour = inChannels(picture, COVERS[floor(random() * COVERS.length)] as Colour);
  const edge = noise(picture, seedOf("covered", at.camera), 3);
  const weave = noise(picture, seedOf("weave", at.camera), 40);
  const moved = 0.008 * signed(randomOf("covered", at.camera, at.frame));
  // At severity 1 no corner stays free.
  const reach = between(-0.36, 0.86, at) + moved;
  const mask = maskOf(picture, (u, v, pixel) =>
    smoothStep(0.05, -0.05, u * cos + v * sin - reach + 0.16 * ((edge[pixel] as number) - 0.5)),
  );
  const out = new Uint8ClampedArray(data.length);
  for (let pixel = 0, i = 0; pixel < mask.length; pixel++)
    for (let channel = 0; channel < channels; channel++, i++) {
      const cloth = (colour[channel] as number) * (0.75 + 0.5 * (weave[pixel] as number));
      out[i] = (data[i] as number) + unit(mask[pixel] as number) * (cloth - (data[i] as number));
    }
  return withPixels(picture, out);
}
