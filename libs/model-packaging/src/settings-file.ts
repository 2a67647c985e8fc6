/** A JSON file of settings as a person wrote it: read once, checked whole, and named with all that is wrong in it. */
import { readFile } from "node:fs/promises";
import { Failure, reasonOf } from "@tributary/kernel";
import type { z } from "zod";

/** `option` is the file's option on a command line, `code` the Failure's when the file cannot be used. */
export async function readSettings<T>(
  { option, path, code }: { readonly option: string; readonly path: string; readonly code: string },
  schema: z.ZodType<T>,
): Promise<T> {
  const invalid = (message: string) => new Failure(code, "ask-a-person", `${option} ${path}: ${message}`);
  const text = await readFile(path, "utf8").catch((error: unknown) => {
    throw invalid(reasonOf(error));
  });
  let written: unknown;
  try {
    written = JSON.parse(text);
  } catch (error) {
    throw invalid(`not JSON: ${reasonOf(error)}`);
  }
  const read = schema.safeParse(written);
  if (read.success) return read.data;
  throw invalid(read.error.issues.map(({ path: at, message }) => [...at.map(String), message].join(": ")).join("; "));
}
