// Faults that no single picture shows: which classes come, objects of no known class, and what a class's name means. A bench draws photos
// by `mix` and names them by `relabel`.
import { between, type Fault, type Moment } from "./fault.ts";
import { randomOf } from "./fields.ts";
import { blended, type Picture, sideOf, withPixels } from "./picture.ts";

export const labelFaults: readonly Fault[] = [
  {
    name: "class-frequent",
    about: "one class comes far more often than it did",
    cause: "mix",
    place: "site",
    apply: (picture) => picture,
    mix: (mix, at) => {
      // A class that was rare, as what is frequent already can hardly become so.
      const order = byShare(mix);
      const chosen = order[Math.floor((randomOf("class-frequent", at.site ?? 0)() * order.length) / 2)] as number;
      const more = between(0.25, 0.85, at);
      return mix.map((share, label) => share * (1 - more) + (label === chosen ? more : 0));
    },
  },
  {
    name: "class-vanished",
    about: "a rare class comes no more",
    cause: "mix",
    place: "site",
    apply: (picture) => picture,
    mix: (mix, at) => {
      const [rarest] = byShare(mix);
      const kept = mix.map((share, label) => (label === rarest ? share * (1 - between(0.5, 1, at)) : share));
      const sum = kept.reduce((total, share) => total + share, 0);
      return kept.map((share) => share / sum);
    },
  },
  {
    name: "new-class",
    about: "objects come that belong to no class of the model",
    cause: "new-class",
    place: "site",
    // Whatever the severity, this frame shows no known class; a bench decides how many frames do.
    apply: (picture, at) => (at.other ? blended(picture, at.other, between(0.55, 1, at)) : patchwork(picture, at)),
  },
  {
    name: "label-changed",
    about: "what a class's name means changed: a part of one class now counts as another",
    cause: "concept",
    place: "fleet",
    apply: (picture) => picture,
    relabel: (label, classes, at) => {
      const random = randomOf("label-changed", at.site ?? 0);
      const from = Math.floor(random() * classes);
      const to = (from + 1 + Math.floor(random() * (classes - 1))) % classes;
      const counts = randomOf("label-changed", at.camera, at.frame)() < between(0.3, 1, at);
      return label === from && counts ? to : label;
    },
  },
];

/** The labels that come at all, the rarest first. */
function byShare(mix: readonly number[]): readonly number[] {
  const share = (label: number) => mix[label] as number;
  return [...mix.keys()].filter((label) => share(label) > 0).sort((a, b) => share(a) - share(b) || a - b);
}

/** An object of no class, of pieces of this picture that are exchanged and turned; more pieces the greater the severity. */
function patchwork(picture: Picture, at: Moment): Picture {
  const { width, height, channels, data } = picture;
  const pieces = Math.round(between(2, 5, at));
  const random = randomOf("new-class", at.camera, at.frame);
  const cell = Math.max(1, Math.floor(sideOf(picture) / pieces));
  const [columns, rows] = [Math.floor(width / cell), Math.floor(height / cell)];
  const order = Array.from({ length: columns * rows }, (_, i) => i);
  for (let i = order.length - 1; i > 0; i--) {
    // No piece stays in its place.
    const j = Math.floor(random() * i);
    [order[i], order[j]] = [order[j] as number, order[i] as number];
  }
  const out = Uint8ClampedArray.from(data);
  for (const [i, piece] of order.entries()) {
    const turned = random() < 0.5;
    const [toX, toY] = [(i % columns) * cell, Math.floor(i / columns) * cell];
    const [fromX, fromY] = [(piece % columns) * cell, Math.floor(piece / columns) * cell];
    for (let y = 0; y < cell; y++)
      for (let x = 0; x < cell; x++) {
        const [px, py] = turned ? [y, cell - 1 - x] : [x, y];
        const from = ((fromY + py) * width + fromX + px) * channels;
        for (let c = 0; c < channels; c++) out[((toY + y) * width + toX + x) * channels + c] = data[from + c] as number;
      }
  }
  return withPixels(picture, out);
}
