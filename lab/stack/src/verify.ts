/** The verifier: the cameras' ledgers against Kafka, read again from the topics' offsets at the start of the run. */
import { KafkaReader } from "@tributary/kafka";
import { Failure, systemClock } from "@tributary/kernel";
import { type Account, Accountant, type Excuses, lossesOf, type Report, reportOf } from "./account.ts";
import { readLedger, type Shown } from "./ledger.ts";
import { type Marks, marksOf, replay } from "./topic-log.ts";

export type Ledgers = readonly { readonly deviceId: string; readonly ledger: string }[];

export const shownBy = (ledgers: Ledgers, labels?: ReadonlyMap<string, string>): Shown[] =>
  ledgers.flatMap(({ deviceId, ledger }) => readLedger(deviceId, ledger, labels));

export type AccountOptions = {
  readonly brokers: readonly string[];
  readonly prefix: string;
  readonly from: Marks;
  readonly ledgers: Ledgers;
  /** Class by file of the folder that cameras show. */
  readonly labels?: ReadonlyMap<string, string> | undefined;
  /** Devices whose cameras write no ledger, or one without unique numbers. */
  readonly withoutLedger?: readonly string[];
};

export async function accountOf(options: AccountOptions): Promise<Account> {
  const reader = new KafkaReader({ brokers: options.brokers, prefix: options.prefix, clientId: "verifier" });
  try {
    const { withoutLedger = [], labels } = options;
    const ledgers = options.ledgers.filter(({ deviceId }) => !withoutLedger.includes(deviceId));
    const accountant = new Accountant(shownBy(ledgers, labels), withoutLedger);
    await replay(reader, accountant, { from: options.from, until: await marksOf(reader) });
    return accountant.account();
  } finally {
    await reader.close();
  }
}

/** Boots that were not the last of their device: they were killed, and their last frames never reached an outbox. */
export function endedBoots(ledgers: Ledgers): ReadonlySet<string> {
  const boots = new Map<string, Set<string>>();
  for (const { deviceId, boot } of shownBy(ledgers)) {
    boots.set(deviceId, (boots.get(deviceId) ?? new Set()).add(boot));
  }
  return new Set([...boots].flatMap(([device, ids]) => [...ids].slice(0, -1).map((boot) => `${device}:${boot}`)));
}

/**
 * Waits until the cameras have shown `frames` and each has its final answer, or nothing new has arrived for `silenceMsMax`.
 * Kafka may be unavailable meanwhile.
 */
export async function untilAnswered(
  run: {
    readonly brokers: readonly string[];
    readonly prefix: string;
    readonly began: Marks;
    readonly agents: Ledgers;
  },
  frames: number,
  options: {
    readonly silenceMsMax: number;
    readonly signal?: AbortSignal;
    readonly onProgress?: (text: string) => void;
  },
): Promise<boolean> {
  let progress = "";
  let progressAt = systemClock.monotonicMs();
  for (;;) {
    const shown = shownBy(run.agents).length;
    let missing = frames;
    if (shown >= frames) {
      const account = await accountOf({ ...run, from: run.began, ledgers: run.agents }).catch(unlessAway);
      missing = account === undefined ? frames : lossesOf(account, { killed: endedBoots(run.agents) }).lost.length;
      if (missing === 0) return true;
    }
    const now = `${shown} of ${frames} frames shown${shown >= frames ? `, ${missing} without answer` : ""}`;
    if (now !== progress) [progress, progressAt] = [now, systemClock.monotonicMs()];
    options.onProgress?.(now);
    if (systemClock.monotonicMs() - progressAt > options.silenceMsMax) return false;
    await systemClock.sleep(1_000, options.signal);
  }
}

/** A Kafka that has just been killed is asked again, for as long as silence may last. */
function unlessAway(error: unknown): undefined {
  if (error instanceof Failure && error.advice === "retry") return undefined;
  throw error;
}

export async function verify(
  options: AccountOptions & { readonly excuses?: Excuses },
): Promise<{ readonly report: Report; readonly account: Account }> {
  const account = await accountOf(options);
  return { account, report: reportOf(account, options.ledgers.length, options.excuses) };
}
