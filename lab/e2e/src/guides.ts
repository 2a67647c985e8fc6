import { readFileSync } from "node:fs";
import { join } from "node:path";

/** The guides of a session share a home and running programs, and are run in this order. Each session is a part of `npm run test:all`. */
export const sessions: readonly (readonly string[])[] = JSON.parse(
  readFileSync(join(import.meta.dirname, "guide-sessions.json"), "utf8"),
);
