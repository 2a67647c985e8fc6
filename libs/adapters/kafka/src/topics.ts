/** The topics' settings and their drift in a cluster, for programs without a Kafka client. */
export { driftOf, type TopicDrift } from "./topic-drift.ts";
export { deadLetterSources, tributaryTopics } from "./tributary-topics.ts";
