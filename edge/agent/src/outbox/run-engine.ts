/** Gives an engine its turns: on a timer, and soon where a message should not wait for that. Returns what takes its messages. */
import type { OutboxEngine } from "./engine.ts";
import type { ToOutbox } from "./rows.ts";

export function runEngine(engine: OutboxEngine, everyMs: number): (message: ToOutbox) => void {
  let soon: NodeJS.Immediate | undefined;
  const timer = setInterval(() => engine.tick(), everyMs);
  return (message) => {
    const isUrgent = engine.receive(message);
    if (message.kind === "close") {
      clearInterval(timer);
      if (soon !== undefined) clearImmediate(soon);
    } else if (isUrgent && soon === undefined) {
      soon = setImmediate(() => {
        soon = undefined;
        engine.tick();
      });
    }
  };
}
