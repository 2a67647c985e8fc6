#!/usr/bin/env node
/** The verifier, on the node, where Kafka has the name that it gives its clients. It prints a report once every frame that the ledgers
 * name has its final answer, or nothing new has arrived for long. */
import { readFileSync } from "node:fs";
import { KafkaReader } from "@tributary/kafka";
import { reasonOf } from "@tributary/kernel";
import { marksOf, untilAnswered, verify } from "@tributary/stack";
import type { Account } from "./account.ts";

async function main({ brokers, prefix, ledgers, frames, silenceMsMax }: Account): Promise<void> {
  const reader = new KafkaReader({ brokers, prefix, clientId: "cluster-demo" });
  const now = await marksOf(reader).finally(() => reader.close());
  // The cluster is this demo's: everything in it was written since its start.
  const from = Object.fromEntries(Object.entries(now).map(([topic, offsets]) => [topic, offsets.map(() => 0n)]));
  const run = { brokers, prefix, began: from, agents: ledgers };
  let last = "";
  const onProgress = (text: string) => {
    if (text !== last) process.stderr.write(`${text}\n`);
    last = text;
  };
  await untilAnswered(run, frames, { silenceMsMax, onProgress });
  const { report } = await verify({ brokers, prefix, from, ledgers });
  process.stdout.write(JSON.stringify(report));
}

await main(JSON.parse(readFileSync(process.argv[2] ?? "", "utf8"))).catch((error: unknown) => {
  process.stderr.write(`${reasonOf(error)}\n`);
  process.exit(1);
});
process.exit();
