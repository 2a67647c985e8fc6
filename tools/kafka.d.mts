/** Types of kafka.mjs for the programs that start a Kafka of their own. */
export type KafkaNode = {
  readonly brokers: string;
  readonly port: number;
  readonly controllerPort: number;
  readonly pid: number;
  readonly dataDir: string;
  readonly logFile: string;
  readonly exited: Promise<{ readonly code: number | null; readonly signal: string | null }>;
  kill(signal?: NodeJS.Signals): boolean;
  stop(options?: { graceMs?: number }): Promise<void>;
};
export type KafkaOptions = {
  dataDir: string;
  port?: number;
  controllerPort?: number;
  proxied?: { readonly port: number; readonly advertisedPort: number };
  heapMb?: number;
  /** Its answers are timed: it has room enough to collect garbage seldom. */
  isMeasured?: boolean;
  detached?: boolean;
  readyMsMax?: number;
  logFile?: string;
  env?: NodeJS.ProcessEnv;
  onSpawn?: (pid: number) => void;
  cluster?: { readonly nodeId: number; readonly voters: string };
  config?: Readonly<Record<string, string>>;
};
export function startKafka(options: KafkaOptions): Promise<KafkaNode>;
export function answers(port: number, host?: string): Promise<boolean>;
/** A port of 127.0.0.1 that was free a moment ago. */
export function freePort(): Promise<number>;
export function ensureJars(): boolean;
export class MissingTool extends Error {}
