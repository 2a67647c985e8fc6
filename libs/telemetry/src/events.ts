import type { Level } from "./telemetry.ts";

export type CounterDefinition<E> = {
  readonly name: string;
  readonly help: string;
  readonly labels?: readonly (keyof E & string)[];
  /** What one event adds; 1 when absent. */
  readonly value?: (event: E) => number;
};

export type HistogramDefinition<E> = {
  readonly name: string;
  readonly help: string;
  readonly buckets: readonly number[];
  readonly labels?: readonly (keyof E & string)[];
  readonly value: (event: E) => number;
};

/** One definition gives the log line and the metrics. Fields `event`, `time`, `level`, `msg`, `service` are taken. */
export type EventDefinition<E> = {
  readonly name: string;
  readonly level: Level;
  readonly message: (event: E) => string;
  readonly counter?: CounterDefinition<E> | readonly CounterDefinition<E>[];
  readonly histogram?: HistogramDefinition<E> | readonly HistogramDefinition<E>[];
};

export type EventFields = Readonly<Record<string, unknown>>;

const defined: EventDefinition<never>[] = [];

export function defineEvent<E extends EventFields>(definition: EventDefinition<E>): EventDefinition<E> {
  defined.push(definition);
  return Object.freeze(definition);
}

/** Every event that this process may emit. */
export const definedEvents = (): readonly EventDefinition<never>[] => defined;
