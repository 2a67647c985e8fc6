/** The verifier: the cameras' ledgers against Kafka, read again from where the topics stood when the run began. */
import { KafkaReader } from "@tributary/kafka";
import { type Account, Accountant, type Report, reportOf } from "./account.ts";
import { cloudLabelsOf } from "./cloud-labels.ts";
import { readLedger, type Shown } from "./ledger.ts";
import { type Marks, marksOf, replay } from "./topic-log.ts";

export type Ledgers = readonly { readonly deviceId: string; readonly ledger: string }[];

export const shownBy = (ledgers: Ledgers): Shown[] =>
  ledgers.flatMap(({ deviceId, ledger }) => readLedger(deviceId, ledger));

export async function accountOf(options: {
  readonly brokers: readonly string[];
  readonly prefix: string;
  readonly from: Marks;
  readonly ledgers: Ledgers;
}): Promise<Account> {
  const reader = new KafkaReader({ brokers: options.brokers, prefix: options.prefix, clientId: "verifier" });
  try {
    const accountant = new Accountant(shownBy(options.ledgers));
    await replay(reader, accountant, options.from, { until: await marksOf(reader) });
    return accountant.account();
  } finally {
    await reader.close();
  }
}

export async function verify(options: {
  readonly brokers: readonly string[];
  readonly prefix: string;
  readonly from: Marks;
  readonly ledgers: Ledgers;
  /** Asked offline about the same frames; not asked unless given. */
  readonly cloudPackage?: string;
  readonly killed?: ReadonlySet<string>;
}): Promise<{ readonly report: Report; readonly account: Account }> {
  const account = await accountOf(options);
  const photos = new Set([...account.shown.values()].map(({ photo }) => photo));
  const cloudLabels = options.cloudPackage ? await cloudLabelsOf(photos, options.cloudPackage) : undefined;
  return { account, report: reportOf(account, options.ledgers.length, cloudLabels, options.killed) };
}
