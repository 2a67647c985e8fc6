/** What the cameras say they showed. Whoever counts losses is not who may lose: a line is written before its frame leaves. */
import { existsSync, readFileSync } from "node:fs";

/** One frame; `n` counts from 1 in each boot and is the frame's number there. */
export type Shown = {
  readonly deviceId: string;
  readonly boot: string;
  readonly n: number;
  readonly photo: number;
  readonly label: string;
  readonly capturedAt: number;
  readonly bytes: number;
};

export const keyOf = (deviceId: string, boot: string | bigint, frameSeq: number | bigint): string =>
  `${deviceId}:${boot}:${frameSeq}`;

export function readLedger(deviceId: string, file: string): Shown[] {
  if (!existsSync(file)) return [];
  return readFileSync(file, "utf8")
    .split("\n")
    .flatMap((line) => {
      if (!line.endsWith("}")) return []; // Cut short by a kill.
      return [{ deviceId, ...(JSON.parse(line) as Omit<Shown, "deviceId">) }];
    });
}
