/** Pictures of the frames that were chosen, class by class: who reads the report sees what the model learned. Pure. */
import { type Html, html, nothing } from "@tributary/kernel/html";

export type ChosenFrame = {
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
export function shownFrames(frames: readonly ChosenFrame[], picturesMax: number): readonly ChosenFrame[] {
  const classes = [...Map.groupBy(frames, ({ label }) => label)].sort(([a], [b]) => (a < b ? -1 : 1));
  const queues = classes.map(([, own]) => [...own].sort((a, b) => Number(b.isDrawn) - Number(a.isDrawn)));
  const shown: ChosenFrame[] = [];
  for (let turn = 0; shown.length < picturesMax && queues.some((queue) => queue.length > turn); turn++) {
    for (const queue of queues) {
      const frame = queue[turn];
      if (frame !== undefined && shown.length < picturesMax) shown.push(frame);
    }
  }
  return shown;
}

export function contactSheet(frames: readonly ChosenFrame[], imageOf: (frameId: string) => string): Html {
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

const picture = ({ frameId, label, labelSource, split, isDrawn }: ChosenFrame, imageOf: (frameId: string) => string) =>
  html`<li><figure><img src="${imageOf(frameId)}" alt="${label}" title="${frameId}" loading="lazy" width="88" height="88"><figcaption>${split === null ? "labelled" : split.toLowerCase()}, ${labelSource.toLowerCase()}${isDrawn ? ", drawn" : ""}</figcaption></figure></li>`;

type Line = { frameId?: unknown; label?: unknown; labelSource?: unknown; split?: unknown; samplePropensity?: unknown };

/** Frames of devices in a dataset's `manifest.jsonl`; lines that are none are left out. */
export const chosenFramesOf = (manifest: string): readonly ChosenFrame[] =>
  manifest.split("\n").flatMap((line) => {
    if (line === "") return [];
    const { frameId, label, labelSource, split, samplePropensity } = lineOf(line);
    if (typeof frameId !== "string" || frameId === "" || typeof label !== "string") return [];
    const isDrawn = typeof samplePropensity === "number";
    return [{ frameId, label, labelSource: String(labelSource ?? ""), split: String(split ?? ""), isDrawn }];
  });

function lineOf(text: string): Line {
  try {
    return (JSON.parse(text) as Line | null) ?? {};
  } catch {
    return {};
  }
}
