/** What a hostile device has cost in Kafka: bytes written because of it, including dead letters under any name. */
import { dlqOf, topics } from "@tributary/contracts";
import type { PartitionReader } from "@tributary/kafka";

export type Written = {
  deadLetters: number;
  deadLetterBytes: number;
  state: number;
  uplink: number;
  frames: number;
  requests: number;
};

/** Bytes written from now on because of some devices. */
export async function meterOf(reader: PartitionReader, deviceIds: readonly string[]): Promise<() => Promise<Written>> {
  const { frames, predictions, metrics, routerState, requestsHigh, requestsNormal } = topics;
  const dead = [frames, predictions, metrics].map(({ name }) => dlqOf(name, "bridge"));
  const names = [frames, predictions, metrics, routerState, requestsHigh, requestsNormal].map(({ name }) => name);
  const all = [...names, ...dead];
  const marks = await Promise.all(
    all.map(async (topic) => {
      const partitions = await reader.partitions(topic);
      return Promise.all(partitions.map(async (partition) => (await reader.offsets(topic, partition)).next));
    }),
  );
  return async () => {
    const written: Written = { deadLetters: 0, deadLetterBytes: 0, state: 0, uplink: 0, frames: 0, requests: 0 };
    const isOurs = (topic: string, key: string) =>
      // States have keys of their own, which begin with the device's.
      deviceIds.some((id) => key === id || (topic === routerState.name && key.startsWith(id)));
    const readOne = async (topic: string, partition: number, mark: bigint) => {
      const { earliest, next: until } = await reader.offsets(topic, partition);
      const from = earliest > mark ? earliest : mark; // Kafka may have deleted some.
      if (until <= from) return;
      for await (const { key, value } of reader.read(topic, partition, { from, until })) {
        if (!isOurs(topic, key ?? "")) continue;
        const bytes = value?.length ?? 0;
        if (dead.includes(topic)) {
          written.deadLetters++;
          written.deadLetterBytes += bytes;
        } else if (topic === routerState.name) written.state += bytes;
        else if (topic === requestsHigh.name || topic === requestsNormal.name) written.requests++;
        else {
          written.uplink += bytes;
          if (topic === frames.name) written.frames++;
        }
      }
    };
    await Promise.all(all.flatMap((topic, i) => (marks[i] ?? []).map((from, p) => readOne(topic, p, from))));
    return written;
  };
}
