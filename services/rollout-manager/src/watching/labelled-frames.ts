/** Which frames were labelled whose labels are no longer in memory, and about when: so a label that comes now is known to be the first of its frame,
 * or the log is read for the one before.
 *
 * Bloom filters, each of the labels of one stretch of time: 4 bytes a label, and about 1 in 3 million of the others is taken for one of them, for which
 * the log is read in vain. Bounded (G9): beyond `labelsMax` the filter of the oldest is dropped. */
import type { Instant } from "@tributary/kernel";

export type Span = { readonly from: Instant; readonly to: Instant };
type Filter = { readonly bits: Uint32Array; from: Instant; to: Instant; count: number };

export type LabelledFramesState = {
  readonly filters: readonly Readonly<Filter>[];
  readonly labelsOf: number;
  readonly forgottenTo: Instant;
};

const LABELS_OF_FILTER = 2 ** 18;
/** The oldest is a small part of what is remembered. */
const FILTERS_MIN = 8;
const [BITS_OF_LABEL, HASHES] = [32, 16];

export class LabelledFrames {
  readonly #filtersMax: number;
  readonly #labelsOf: number;
  readonly #filters: Filter[] = [];
  #forgottenTo = Number.NEGATIVE_INFINITY;

  constructor(labelsMax: number) {
    this.#labelsOf = Math.min(LABELS_OF_FILTER, 2 ** Math.ceil(Math.log2(Math.max(1, labelsMax / FILTERS_MIN))));
    this.#filtersMax = Math.ceil(labelsMax / this.#labelsOf);
  }

  state(): LabelledFramesState {
    return { filters: this.#filters, labelsOf: this.#labelsOf, forgottenTo: this.#forgottenTo };
  }

  /** Into an empty one. Filters of another size, after a change of the bound, are forgotten. */
  restore({ filters, labelsOf, forgottenTo }: LabelledFramesState): void {
    this.#forgottenTo = forgottenTo;
    if (labelsOf === this.#labelsOf) this.#filters.push(...filters.map((filter) => ({ ...filter })));
    else for (const { to } of filters) this.#forgottenTo = Math.max(this.#forgottenTo, to);
  }

  get bytes(): number {
    return this.#filters.reduce((sum, { bits }) => sum + bits.byteLength, 0);
  }

  add(frame: string, at: Instant): void {
    const last = this.#filters.at(-1);
    const filter = last !== undefined && last.count < this.#labelsOf ? last : this.#another();
    for (const bit of this.#bitsOf(frame))
      filter.bits[bit >>> 5] = (filter.bits[bit >>> 5] as number) | (1 << (bit & 31));
    filter.count += 1;
    filter.from = Math.min(filter.from, at);
    filter.to = Math.max(filter.to, at);
  }

  /** When it may have been labelled; none: it was not, as far as this reaches. */
  spans(frame: string): readonly Span[] {
    const own = this.#bitsOf(frame);
    return this.#filters
      .filter(({ bits }) => own.every((bit) => ((bits[bit >>> 5] as number) & (1 << (bit & 31))) !== 0))
      .map(({ from, to }) => ({ from, to }));
  }

  /** Whether labels since then are forgotten here, too. */
  isForgotten(since: Instant): boolean {
    return since <= this.#forgottenTo;
  }

  #another(): Filter {
    const bits = new Uint32Array((this.#labelsOf * BITS_OF_LABEL) / 32);
    const filter = { bits, from: Number.POSITIVE_INFINITY, to: Number.NEGATIVE_INFINITY, count: 0 };
    this.#filters.push(filter);
    if (this.#filters.length > this.#filtersMax) {
      this.#forgottenTo = Math.max(this.#forgottenTo, this.#filters.shift()?.to ?? this.#forgottenTo);
    }
    return filter;
  }

  /** Kirsch and Mitzenmacher: two hashes make any number. */
  #bitsOf(frame: string): readonly number[] {
    let [a, b] = [0x811c9dc5, 0x9747b28c];
    for (let i = 0; i < frame.length; i++) {
      const char = frame.charCodeAt(i);
      a = Math.imul(a ^ char, 0x01000193);
      b = Math.imul(b ^ char, 0x5bd1e995);
      b ^= b >>> 15;
    }
    [a, b] = [mixed(a), mixed(b) | 1];
    const mask = this.#labelsOf * BITS_OF_LABEL - 1; // A power of two less one.
    return Array.from({ length: HASHES }, (_, i) => (a + Math.imul(i, b)) & mask);
  }
}

function mixed(hash: number): number {
  const once = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  const twice = Math.imul(once ^ (once >>> 13), 0xc2b2ae35);
  return twice ^ (twice >>> 16);
}
