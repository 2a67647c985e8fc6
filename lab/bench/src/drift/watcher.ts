/** The detectors of one camera's streams. */
import {
  type DetectorSettings,
  dayPart,
  detectorDefaults,
  readStream,
  stepStream,
  streamFloats,
} from "@tributary/drift";

export class Watcher {
  readonly #settings: DetectorSettings;
  readonly #state: Float32Array;
  readonly #floats: number;

  constructor(
    readonly streams: number,
    readonly bar: number,
    settings: Partial<DetectorSettings> = {},
  ) {
    this.#settings = { ...detectorDefaults, ...settings };
    this.#floats = streamFloats(this.#settings);
    this.#state = new Float32Array(streams * this.#floats);
  }

  /** Means of a window of so many frames that ends at `seconds`. */
  step(means: ArrayLike<number>, frames: number, seconds: number): void {
    const window = { at: seconds, frames, part: dayPart(seconds * 1_000, this.#settings.dayParts) };
    for (let s = 0; s < this.streams; s++) {
      stepStream(this.#state, s * this.#floats, means[s] as number, window, this.bar, this.#settings);
    }
  }

  isAlarmed(stream: number): boolean {
    return readStream(this.#state, stream * this.#floats, this.#settings).isAlarmed;
  }

  /** Whether any stream is. */
  get alarms(): boolean {
    for (let s = 0; s < this.streams; s++) if (this.isAlarmed(s)) return true;
    return false;
  }
}
