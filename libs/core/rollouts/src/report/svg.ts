/** Pieces of pictures: a plot with axes, and what is drawn in it. Text alone, so it can be tested and shown anywhere. */

/** Okabe and Ito's colours, which colour-blind people distinguish; meaning is also in words and in line styles. */
export const colours = {
  harm: "#0072b2",
  bad: "#d55e00",
  good: "#009e73",
  event: "#a0457e",
  text: "#222",
  faint: "#666",
  grid: "#e3e3e3",
} as const;

export const escaped = (text: string): string =>
  text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`).replace(/\p{Cc}/gu, " ");

export type Range = { readonly from: number; readonly to: number };

export type Axis = Range & {
  readonly title: string;
  /** Text of a tick. */
  readonly text: (value: number) => string;
  /** Where its ticks are; default: at round values. */
  readonly at?: readonly number[];
};

/** Of the plotting area, and of what stands at its left and right, in px. */
export type Size = {
  readonly width: number;
  readonly height: number;
  readonly left?: number;
  readonly right?: number;
};

/** Width of a character of a label, about. */
const CHARACTER = 6.5;
const [LEFT, RIGHT, TOP, BOTTOM] = [64, 216, 24, 44];

/** A plotting area of `width` by `height` pixels with its axes; labels of lines stand at its right. */
export class Plot {
  readonly #x: Axis;
  readonly #y: Axis;
  readonly #margin: Required<Pick<Size, "left" | "right">>;
  readonly #width: number;
  readonly #height: number;
  readonly #id: string;
  readonly #inside: string[] = [];
  readonly #labels: {
    readonly y: number;
    readonly text: string;
    readonly colour: string;
    /** A line leads to it from there. */
    readonly fromX?: number;
  }[] = [];
  readonly #above: string[] = [];
  /** Stretches above the plot that have a label, in px. */
  readonly #labelled: Range[] = [];

  /** `id`: of the page's only plot with it. */
  constructor(id: string, x: Axis, y: Axis, { width, height, left = LEFT, right = RIGHT }: Size) {
    this.#id = id;
    this.#x = x;
    this.#y = y;
    this.#margin = { left, right };
    this.#width = width;
    this.#height = height;
  }

  /** A shaded stretch of the x axis. */
  stretch({ from, to }: Range, fill: string): void {
    const [a, b] = [this.#left(Math.max(from, this.#x.from)), this.#left(Math.min(to, this.#x.to))];
    if (b > a)
      this.#inside.push(`<rect x="${px(a)}" y="${TOP}" width="${px(b - a)}" height="${this.#height}" fill="${fill}"/>`);
  }

  /** Between two curves; null: beyond the plot. */
  band(
    points: readonly { readonly x: number; readonly low: number | null; readonly high: number | null }[],
    fill: string,
  ): void {
    const [only] = points;
    if (only === undefined) return;
    const span = this.#y.to - this.#y.from;
    if (points.length === 1) {
      const [x, top, bottom] = [
        this.#left(only.x),
        this.#top(only.high ?? this.#y.to + span),
        this.#top(only.low ?? this.#y.from - span),
      ];
      this.#inside.push(
        `<rect x="${px(x - 4)}" y="${px(top)}" width="8" height="${px(bottom - top)}" fill="${fill}" fill-opacity=".18" stroke="${fill}" stroke-opacity=".5"/>`,
      );
      return;
    }
    const upper = points.map(({ x, high }) => this.#point(x, high ?? this.#y.to + span));
    const lower = points.map(({ x, low }) => this.#point(x, low ?? this.#y.from - span));
    const shape = [...upper, ...lower.reverse()].join(" ");
    this.#inside.push(`<polygon points="${shape}" fill="${fill}" fill-opacity=".18"/>`);
    for (const edge of [upper, lower])
      this.#inside.push(`<polyline points="${edge.join(" ")}" fill="none" stroke="${fill}" stroke-opacity=".5"/>`);
  }

  curve(points: readonly { readonly x: number; readonly y: number }[], colour: string, label?: string): void {
    const drawn = points.map(({ x, y }) => this.#point(x, y)).join(" ");
    this.#inside.push(`<polyline points="${drawn}" fill="none" stroke="${colour}" stroke-width="2"/>`);
    const last = points.at(-1);
    if (last === undefined) return;
    const [x, y] = this.#point(last.x, last.y).split(",");
    this.#inside.push(`<circle cx="${x}" cy="${y}" r="3" fill="${colour}"/>`);
    if (label !== undefined) this.#labels.push({ y: this.#clamped(last.y), text: label, colour });
  }

  /** A stretch of a row, with a label at the right; null: as far as the plot. */
  span(
    y: number,
    { from, to }: { readonly from: number | null; readonly to: number | null },
    { colour, thickness, label }: { readonly colour: string; readonly thickness: number; readonly label: string },
  ): void {
    const [a, b] = [px(this.#left(from ?? this.#x.from)), px(this.#left(to ?? this.#x.to))];
    const at = px(this.#top(y));
    this.#inside.push(
      `<line x1="${a}" x2="${b}" y1="${at}" y2="${at}" stroke="${colour}" stroke-width="${thickness}"/>`,
    );
    this.#labels.push({ y: this.#clamped(y), text: label, colour: colours.text });
  }

  /** A point; a line leads from it to its label. */
  dot(x: number, y: number, colour: string, label?: string): void {
    const [cx, cy] = [this.#left(x), this.#top(y)];
    this.#inside.push(`<circle cx="${px(cx)}" cy="${px(cy)}" r="5" fill="${colour}"/>`);
    if (label !== undefined) this.#labels.push({ y: this.#clamped(y), text: label, colour: colours.text, fromX: cx });
  }

  /** A value that is compared with. */
  level(y: number, colour: string, label: string): void {
    const at = px(this.#top(y));
    this.#inside.push(
      `<line x1="${this.#margin.left}" x2="${this.#margin.left + this.#width}" y1="${at}" y2="${at}" stroke="${colour}" stroke-width="1.5" stroke-dasharray="6 4"/>`,
    );
    this.#labels.push({ y: this.#clamped(y), text: label, colour });
  }

  /** A moment, labelled above the plot, unless an earlier label stands there. */
  moment(x: number, label: string): void {
    if (x < this.#x.from || x > this.#x.to) return;
    const at = this.#left(x);
    this.#inside.push(
      `<line x1="${px(at)}" x2="${px(at)}" y1="${TOP}" y2="${TOP + this.#height}" stroke="${colours.event}" stroke-dasharray="2 3"/>`,
    );
    const isLate = at > this.#margin.left + 0.6 * this.#width;
    const [anchor, from] = isLate ? ["end", at + 4 - CHARACTER * label.length] : ["start", at - 4];
    const place = { from: from - CHARACTER, to: from + CHARACTER * (label.length + 1) };
    if (this.#labelled.some((other) => place.from < other.to && other.from < place.to)) return;
    this.#labelled.push(place);
    this.#above.push(
      `<text x="${px(isLate ? at + 4 : at - 4)}" y="${TOP - 8}" text-anchor="${anchor}" fill="${colours.event}">${escaped(label)}</text>`,
    );
  }

  /** `about`: what the picture shows, for those who do not see it. */
  svg(about: string): string {
    const { left, right } = this.#margin;
    const [width, height] = [left + this.#width + right, TOP + this.#height + BOTTOM];
    const clip = `${this.#id}-clip`;
    return [
      `<svg viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="${escaped(about)}">`,
      `<clipPath id="${clip}"><rect x="${left}" y="${TOP}" width="${this.#width}" height="${this.#height}"/></clipPath>`,
      this.#axes(),
      `<g clip-path="url(#${clip})">${this.#inside.join("")}</g>`,
      this.#spread(),
      ...this.#above,
      "</svg>",
    ].join("");
  }

  #axes(): string {
    const [bottom, right] = [TOP + this.#height, this.#margin.left + this.#width];
    const xs = (this.#x.at ?? ticks(this.#x, this.#width / 90)).map((value) => {
      const at = px(this.#left(value));
      return `<line x1="${at}" x2="${at}" y1="${bottom}" y2="${bottom + 5}" stroke="${colours.faint}"/><text x="${at}" y="${bottom + 18}" text-anchor="middle">${escaped(this.#x.text(value))}</text>`;
    });
    const ys = (this.#y.at ?? ticks(this.#y, this.#height / 36)).map((value) => {
      const at = px(this.#top(value));
      const colour = value === 0 ? "#999" : colours.grid;
      return `<line x1="${this.#margin.left}" x2="${right}" y1="${at}" y2="${at}" stroke="${colour}"/><text x="${this.#margin.left - 8}" y="${Number(at) + 4}" text-anchor="end">${escaped(this.#y.text(value))}</text>`;
    });
    const middle = TOP + this.#height / 2;
    return [
      ...ys,
      ...xs,
      `<rect x="${this.#margin.left}" y="${TOP}" width="${this.#width}" height="${this.#height}" fill="none" stroke="${colours.faint}"/>`,
      `<text x="${this.#margin.left + this.#width / 2}" y="${bottom + 36}" text-anchor="middle" fill="${colours.faint}">${escaped(this.#x.title)}</text>`,
      `<text transform="translate(14 ${middle}) rotate(-90)" text-anchor="middle" fill="${colours.faint}">${escaped(this.#y.title)}</text>`,
    ].join("");
  }

  /** Labels at the right, moved apart where they would overlap. */
  #spread(): string {
    const gap = 15;
    const placed = this.#labels.map((label) => ({ ...label, at: this.#top(label.y) + 4 })).sort((a, b) => a.at - b.at);
    for (let i = 1; i < placed.length; i++) {
      const [before, own] = [placed[i - 1], placed[i]];
      if (before !== undefined && own !== undefined) own.at = Math.max(own.at, before.at + gap);
    }
    const last = placed.at(-1);
    const over = last === undefined ? 0 : Math.max(0, last.at - (TOP + this.#height + 4));
    return placed
      .map(
        ({ at, text, colour, y, fromX }) =>
          `${fromX === undefined ? "" : this.#lead(fromX, y, at - over)}<text x="${this.#margin.left + this.#width + 8}" y="${px(at - over)}" fill="${colour}">${escaped(text)}</text>`,
      )
      .join("");
  }

  /** From a point to its label. */
  #lead(fromX: number, y: number, labelAt: number): string {
    const to = this.#margin.left + this.#width + 5;
    return `<line x1="${px(fromX)}" x2="${to}" y1="${px(this.#top(y))}" y2="${px(labelAt - 4)}" stroke="${colours.faint}" stroke-width=".75"/>`;
  }

  #clamped(y: number): number {
    return Math.min(this.#y.to, Math.max(this.#y.from, y));
  }

  #left(x: number): number {
    return this.#margin.left + (this.#width * (x - this.#x.from)) / (this.#x.to - this.#x.from);
  }

  #top(y: number): number {
    return TOP + this.#height * (1 - (y - this.#y.from) / (this.#y.to - this.#y.from));
  }

  #point(x: number, y: number): string {
    return `${px(this.#left(x))},${px(this.#top(y))}`;
  }
}

const px = (value: number): string => String(Math.round(value * 10) / 10);

/** About `wanted` round values (1, 2 or 5 times a power of ten) within the range, at least two where they fit. */
export function ticks({ from, to }: Range, wanted: number): number[] {
  const rough = (to - from) / Math.max(2, wanted);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5].find((factor) => factor * power >= rough * 0.999) ?? 10);
  const first = Math.ceil(from / step - 1e-9);
  const count = Math.floor(to / step + 1e-9) - first + 1;
  return Array.from({ length: Math.max(0, count) }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

/** The range that holds all values, with some room; never empty. */
export function rangeOf(values: readonly number[], room = 0.08): Range {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const span = most - least || Math.abs(most) || 1;
  return { from: least - room * span, to: most + room * span };
}
