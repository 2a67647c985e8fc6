/** Pictures of the frames that were chosen, class by class: who reads the report sees what the model learned. Pure. */
import { type Html, html, nothing } from "@tributary/kernel/html";

export type PicturedFrame = {
  readonly frameId: string;
  readonly label: string;
  readonly labelSource: string;
  /** Null: not frozen yet. */
  readonly split: string | null;
  /** Whether the random sample drew it. */
  readonly isDrawn: boolean;
};

export const PICTURES_MAX = 48;

/** Each class in its turn gives a frame until there are enough, those of the random sample first. */
export function shownFrames(frames: readonly PicturedFrame[], picturesMax: number): readonly PicturedFrame[] {
  const classes = [...Map.groupBy(frames, ({ label }) => label)].sort(([a], [b]) => (a < b ? -1 : 1));
  const queues = classes.map(([, own]) => [...own].sort((a, b) => Number(b.isDrawn) - Number(a.isDrawn)));
  const shown: PicturedFrame[] = [];
  for (let turn = 0; shown.length < picturesMax && queues.some((queue) => queue.length > turn); turn++) {
    for (const queue of queues) {
      const frame = queue[turn];
      if (frame !== undefined && shown.length < picturesMax) shown.push(frame);
    }
  }
  return shown;
}

export function contactSheet(frames: readonly PicturedFrame[], imageOf: (frameId: string) => string): Html {
  if (frames.length === 0) return nothing;
  const shown = shownFrames(frames, PICTURES_MAX);
  const counts = Map.groupBy(frames, ({ label }) => label);
  const groups = [...Map.groupBy(shown, ({ label }) => label)].sort(([a], [b]) => (a < b ? -1 : 1));
  const sheets = groups.map(
    ([
      label,
      own,
    ]) => html`<h3>${label} <span class="faint">${own.length} of ${counts.get(label)?.length ?? 0}</span></h3>
<ul class="sheet">${own.map((frame) => picture(frame, imageOf))}</ul>`,
  );
  return html`${sheets}`;
}

const picture = (
  { frameId, label, labelSource, split, isDrawn }: PicturedFrame,
  imageOf: (frameId: string) => string,
) =>
  html`<li><figure><img src="${imageOf(frameId)}" alt="${label}" title="${frameId}" loading="lazy" width="88" height="88"><figcaption>${split === null ? "labelled" : split.toLowerCase()}, ${labelSource.toLowerCase()}${isDrawn ? ", drawn" : ""}</figcaption></figure></li>`;
