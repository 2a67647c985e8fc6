const AT_ONCE = 8;

/** A few at a time; the first failure ends it. */
export async function eachOf<T>(
  items: readonly T[],
  work: (item: T) => Promise<void>,
  signal?: AbortSignal,
): Promise<void> {
  const queue = items.values();
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      for (const item of queue) {
        signal?.throwIfAborted();
        await work(item);
      }
    }),
  );
}
