/** Tasks of a bench in as many threads as there are cores. The thread's program answers each message with one result. */
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";

const THREADS_MAX = 4;

/** Results in the order of the tasks. `onDone`: how many are done. */
export async function inWorkers<Task, Result>(
  program: URL,
  tasks: readonly Task[],
  onDone: (count: number) => void,
): Promise<readonly Result[]> {
  const results: Result[] = [];
  let [next, done] = [0, 0];
  const work = async () => {
    const worker = new Worker(program);
    try {
      while (next < tasks.length) {
        const place = next++;
        results[place] = await new Promise<Result>((resolve, reject) => {
          worker.once("message", resolve).once("error", reject);
          worker.postMessage(tasks[place]);
        });
        worker.removeAllListeners("error");
        onDone(++done);
      }
    } finally {
      await worker.terminate();
    }
  };
  await Promise.all(Array.from({ length: Math.min(THREADS_MAX, availableParallelism()) }, work));
  return results;
}

/** Seeds of draws that are alike. */
export type Drawing<Case> = { readonly of: Case; readonly seeds: readonly number[] };

/** Few enough of a task that all threads end at about the same time. */
const SEEDS_OF_TASK = 10;

/** Draws many cases; the thread's program answers a part of a drawing with a result for each of its seeds. Gives those of each drawing. */
export async function drawnInWorkers<Case, Result>(
  program: URL,
  drawings: readonly Drawing<Case>[],
  progress: (line: string) => void,
): Promise<readonly (readonly Result[])[]> {
  const parts = drawings.flatMap(({ of, seeds }, drawing) =>
    Array.from({ length: Math.ceil(seeds.length / SEEDS_OF_TASK) }, (_, i) => {
      return { drawing, of, seeds: seeds.slice(SEEDS_OF_TASK * i, SEEDS_OF_TASK * (i + 1)) };
    }),
  );
  const tasks = parts.map(({ of, seeds }): Drawing<Case> => ({ of, seeds }));
  const all = drawings.reduce((sum, { seeds }) => sum + seeds.length, 0);
  let tenths = 0;
  const done = await inWorkers<Drawing<Case>, readonly Result[]>(program, tasks, (count) => {
    if (Math.floor((10 * count) / tasks.length) === tenths) return;
    tenths = Math.floor((10 * count) / tasks.length);
    progress(`${10 * tenths} % of ${all} draws`);
  });
  return drawings.map((_, drawing) => done.filter((_, i) => parts[i]?.drawing === drawing).flat());
}

/** 1 to `count`, after `before`. */
export const seedsAfter = (before: number, count: number): readonly number[] =>
  Array.from({ length: count }, (_, i) => before + i + 1);
