/** What the topics shall be and how a cluster's differ: for those who need no Kafka client. */
export { driftOf, type TopicDrift } from "./topic-drift.ts";
export { deadLetterSources, tributaryTopics } from "./tributary-topics.ts";
