/** Follows a topic as the service kit does (F1, F2), counted as the bridge's, and told when it is stopped. */
import type { Topic } from "@tributary/contracts";
import type { InRecord } from "@tributary/kafka";
import { Failure, reasonOf } from "@tributary/kernel";
import { type FollowContext, type Following, followRecords } from "@tributary/service-kit";
import { readFailed, recordUnusable } from "./events.ts";

export type { Following } from "@tributary/service-kit";

export type FollowOptions<T> = FollowContext & { readonly topic: Topic<T>; readonly from: "start" | "now" };

type Apply<T> = (record: InRecord, value: T | undefined) => void;
export type Handling<T> = [apply: Apply<T>, wants?: (record: InRecord) => boolean];

/**
 * Decoded; a tombstone is undefined, and a record that cannot be used is named, counted and skipped. Stopped before it caught
 * up, `caughtUp` fails: whoever waits for it need not wait on.
 */
export async function followTopic<T>(options: FollowOptions<T>, ...handling: Handling<T>): Promise<Following> {
  const { topic, from, telemetry } = options;
  const [apply, wants = () => true] = handling;
  const { name } = topic;
  const { caughtUp, ended } = await followRecords(options, {
    topic: name,
    ...(from === "now" && { newest: 0 }),
    onReadFailed: (partition, reason) => telemetry.emit(readFailed, { topic: name, partition, reason }),
    onRecord: (record) => {
      if (!wants(record)) return;
      try {
        apply(record, record.value === null ? undefined : topic.codec.decodeConfluent(record.value));
      } catch (error) {
        telemetry.emit(recordUnusable, { topic: name, key: record.key ?? "", reason: reasonOf(error) });
      }
    },
  });
  const stopped = ended.then(() => {
    throw new Failure("follower-stopped", "give-up", `${name} is not followed any more`);
  });
  const isCaughtUp = Promise.race([caughtUp, stopped]);
  isCaughtUp.catch(() => {}); // who stops us need not have waited
  return { caughtUp: isCaughtUp, ended };
}
