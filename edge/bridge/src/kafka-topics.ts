/** Every topic of the contract that a bridge needs. */
import { topics, uplinkStreams } from "@tributary/contracts";
import { deadLetterTopics } from "./dead-letter.ts";

export const neededTopics: readonly string[] = [
  ...Object.values(uplinkStreams).map(({ name }) => name),
  ...deadLetterTopics,
  ...[topics.registry, topics.policies, topics.policyVersions, topics.desired].map(({ name }) => name),
  ...[topics.classifications, topics.throttled].map(({ name }) => name),
];
