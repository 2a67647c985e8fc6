/** Partition p of every topic of the group goes to the same member: state folded from several topics stays together. */
import kafkajs, { type PartitionAssigner } from "kafkajs";

const { MemberAssignment, MemberMetadata } = kafkajs.AssignerProtocol;
export const CO_PARTITIONED = "tributary-co-partitioned";
const VERSION = 1;

/** Which member of `count`, in the order of their ids, gets partition number `partition`. */
export const memberIndexOf = (partition: number, count: number): number => partition % count;

/** `onJoin` is called at every attempt to join, successful or not. */
export const coPartitionedAssigner =
  (onJoin: () => void): PartitionAssigner =>
  ({ cluster }) => ({
    name: CO_PARTITIONED,
    version: VERSION,
    async assign({ members, topics }) {
      const ids = members.map((member) => member.memberId).sort();
      const assignments = ids.map((): Record<string, number[]> => ({}));
      for (const topic of topics) {
        for (const { partitionId } of cluster.findTopicPartitionMetadata(topic)) {
          const assignment = assignments[memberIndexOf(partitionId, ids.length)];
          if (assignment === undefined) continue;
          assignment[topic] ??= [];
          assignment[topic].push(partitionId);
        }
      }
      return ids.map((memberId, i) => ({
        memberId,
        memberAssignment: MemberAssignment.encode({
          version: VERSION,
          assignment: assignments[i] ?? {},
          userData: Buffer.alloc(0),
        }),
      }));
    },
    protocol({ topics }) {
      onJoin();
      return {
        name: CO_PARTITIONED,
        metadata: MemberMetadata.encode({ version: VERSION, topics, userData: Buffer.alloc(0) }),
      };
    },
  });
