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
