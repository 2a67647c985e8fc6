/** The cameras' record of their frames, for counting losses independently: a line is written before its frame is sent. */
import { existsSync, readFileSync } from "node:fs";

/** One frame; `n` counts from 1 in each boot and is the frame's number there. */
export type Shown = {
  readonly deviceId: string;
  readonly boot: string;
  readonly n: number;
  readonly photo?: number;
  /** What it shows; undefined where nobody knows. */
  readonly label?: string;
  /** Of a folder's photo. */
  readonly file?: string;
  readonly capturedAt: number;
  readonly bytes?: number;
};

export const keyOf = (deviceId: string, boot: string | bigint, frameSeq: number | bigint): string =>
  `${deviceId}:${boot}:${frameSeq}`;

/** `labels`: class by file, for a folder's photos. */
export function readLedger(deviceId: string, file: string, labels?: ReadonlyMap<string, string>): Shown[] {
  if (!existsSync(file)) return [];
  return readFileSync(file, "utf8")
    .split("\n")
    .flatMap((line) => {
      if (!line.endsWith("}")) return []; // Cut short by a kill.
      const shown = { deviceId, ...(JSON.parse(line) as Omit<Shown, "deviceId">) };
      const label = shown.label ?? labels?.get(shown.file ?? "");
      return [label === undefined ? shown : { ...shown, label }];
    });
}
