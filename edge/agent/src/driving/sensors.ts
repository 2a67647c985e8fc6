/**
 * Temperatures and throttling of the hardware, read from files and programs.
 *
 * What cannot be read or understood is no reading: it is named once, counted, and changes no level (ladder.ts V5). A read that hangs
 * keeps only its own sensor from being read again, and what it read before is no reading any more once it is old.
 */
import { execFile } from "node:child_process";
import { createReadStream, readdirSync } from "node:fs";
import type { Reading } from "@tributary/driving";
import { type Clock, Failure, reasonOf } from "@tributary/kernel";
import type { DrivingConfig } from "../config.ts";
import { textUpTo } from "../text-up-to.ts";

export type SensorConfig = NonNullable<DrivingConfig["sensors"]>[number];

export type SensorRefused = { readonly sensor: string; readonly reason: string };

const COMMAND_MS_MAX = 5_000;
/** A value is no reading once it is as old as this, and as three turns. */
const VALUE_MS_MAX = 10_000;
const OUTPUT_BYTES_MAX = 4_096;
const ZONES = "/sys/class/thermal";
/** A silicon sensor outside of it is broken. */
const [CELSIUS_MIN, CELSIUS_MAX] = [-40, 150];
/** Under-voltage, frequency capped, throttled, soft temperature limit; the bits above 16 are what once was. */
const THROTTLED_NOW = 0xf;

/** Linux's own, in millidegrees. */
export function thermalZones(folder = ZONES): SensorConfig[] {
  try {
    return readdirSync(folder)
      .filter((name) => /^thermal_zone\d+$/.test(name))
      .map((name) => ({ kind: "celsius", file: `${folder}/${name}/temp`, scale: 0.001 }));
  } catch {
    return [];
  }
}

export class Sensors {
  readonly #sensors: readonly SensorConfig[];
  readonly #onRefused: (refused: SensorRefused) => void;
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #values = new Map<SensorConfig, { readonly value: number; readonly readAtMs: number }>();
  readonly #reading = new Set<SensorConfig>();
  readonly #refused = new Set<SensorConfig>();
  #timer: NodeJS.Timeout | undefined;

  constructor(
    sensors: readonly SensorConfig[],
    clock: Pick<Clock, "monotonicMs">,
    onRefused: (refused: SensorRefused) => void,
  ) {
    this.#sensors = sensors;
    this.#clock = clock;
    this.#onRefused = onRefused;
  }

  start(everyMs: number, onReading: (reading: Reading) => void): void {
    if (this.#sensors.length === 0) return;
    this.#timer = setInterval(() => {
      this.#forgetOld(Math.max(VALUE_MS_MAX, 3 * everyMs));
      onReading(this.#now());
      for (const sensor of this.#sensors) void this.#read(sensor);
    }, everyMs);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** By the values of the last turn. */
  #now(): Reading {
    const of = (kind: SensorConfig["kind"]) =>
      this.#sensors.filter((sensor) => sensor.kind === kind).flatMap((sensor) => this.#values.get(sensor)?.value ?? []);
    const [celsius, throttled] = [of("celsius"), of("throttled")];
    return {
      celsius: celsius.length === 0 ? null : Math.max(...celsius),
      isThrottled: throttled.length === 0 ? null : throttled.some((bits) => (bits & THROTTLED_NOW) !== 0),
    };
  }

  async #read(sensor: SensorConfig): Promise<void> {
    if (this.#reading.has(sensor)) return;
    this.#reading.add(sensor);
    try {
      const value = sensorValue(sensor, await textOf(sensor));
      this.#values.set(sensor, { value, readAtMs: this.#clock.monotonicMs() });
      this.#refused.delete(sensor);
    } catch (error) {
      this.#refuse(sensor, reasonOf(error));
    } finally {
      this.#reading.delete(sensor);
    }
  }

  /** A read that hangs leaves the value of before. */
  #forgetOld(ageMsMax: number): void {
    const now = this.#clock.monotonicMs();
    for (const [sensor, { readAtMs }] of this.#values)
      if (now - readAtMs > ageMsMax) this.#refuse(sensor, `no answer for ${ageMsMax / 1_000} s`);
  }

  #refuse(sensor: SensorConfig, reason: string): void {
    this.#values.delete(sensor);
    if (!this.#refused.has(sensor)) this.#onRefused({ sensor: nameOf(sensor), reason });
    this.#refused.add(sensor);
  }
}

const nameOf = ({ file, command }: SensorConfig): string => file ?? (command ?? []).join(" ");

function textOf({ file, command = [] }: SensorConfig): Promise<string> {
  if (file !== undefined) return textUpTo(createReadStream(file), OUTPUT_BYTES_MAX, "sensor-malformed");
  const [program = "", ...args] = command;
  return new Promise((resolve, reject) => {
    execFile(program, args, { timeout: COMMAND_MS_MAX, maxBuffer: OUTPUT_BYTES_MAX }, (error, stdout) => {
      if (error === null) resolve(stdout);
      else reject(error);
    });
  });
}

/** `42000`, `temp=47.2'C`; `throttled=0x50005`, or `50005` of a file, which is hexadecimal as well. Throws Failure. */
export function sensorValue({ kind, scale }: Pick<SensorConfig, "kind" | "scale">, text: string): number {
  const shown = JSON.stringify(text.slice(0, 80));
  const value = text.trim().replace(/^(temp|throttled)=/, "");
  if (kind === "throttled") {
    if (!/^(0x)?[0-9a-f]{1,8}$/i.test(value)) throw new Failure("sensor-malformed", "give-up", `no bits: ${shown}`);
    return Number.parseInt(value.replace(/^0x/i, ""), 16);
  }
  const number = /^(-?\d+(?:\.\d+)?)(?:'C)?$/.exec(value)?.[1];
  const celsius = number === undefined ? Number.NaN : Number(number) * scale;
  if (!(celsius >= CELSIUS_MIN && celsius <= CELSIUS_MAX)) {
    throw new Failure("sensor-malformed", "give-up", `no temperature of ${CELSIUS_MIN} to ${CELSIUS_MAX} C: ${shown}`);
  }
  return celsius;
}
