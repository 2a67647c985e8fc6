/** What the topics shall be and how a cluster's differ: for those who need no Kafka client. */
export * from "./topic-drift.ts";
export * from "./tributary-topics.ts";
