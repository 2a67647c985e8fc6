/** Every topic that a bridge needs: those of the contract, and those of an operator's own routes. */
import { topics, uplinkStreams } from "@tributary/contracts";
import type { PartitionReader } from "@tributary/kafka";
import type { NeededTopic } from "@tributary/service-kit";
import { deadLetterTopics } from "./dead-letter.ts";
import type { Routes } from "./routes.ts";

type Readers = { readonly reader: PartitionReader; readonly routes?: Routes };

export function neededTopics({ reader, routes }: Readers): readonly NeededTopic[] {
  const followed = [
    ...[topics.registry, topics.policies, topics.policyVersions, topics.desired],
    ...[topics.classifications, topics.throttled],
  ].map(({ name }) => name);
  const ours = [...Object.values(uplinkStreams).map(({ name }) => name), ...deadLetterTopics, ...followed];
  return [
    ...ours.map((topic) => ({ topic, reader })),
    ...(routes?.list.map(({ config: { topic } }) => ({ topic, reader: routes.reader })) ?? []),
  ];
}
