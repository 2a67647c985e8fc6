/** Where a secret is: in the configuration, in a file, e.g. one that Kubernetes mounts, or in a variable of the environment. It is
 * read at each use, so what rotates it needs no restart; it is in no message. */
import { readFile } from "node:fs/promises";
import { Failure, reasonOf } from "@tributary/kernel";
import { z } from "zod";

const text = z.string().min(1).max(16_384);

export const secretSchema = z.union(
  [z.strictObject({ value: text }), z.strictObject({ file: text }), z.strictObject({ env: text })],
  { error: "expected one of { value: TEXT }, { file: PATH } and { env: NAME }" },
);

export type Secret = z.output<typeof secretSchema>;

export async function secretOf(secret: Secret): Promise<string> {
  if ("value" in secret) return secret.value;
  if ("env" in secret) return checked(process.env[secret.env] ?? "", `the variable ${secret.env}`);
  const content = await readFile(secret.file, "utf8").catch((error: unknown) => {
    throw new Failure("training-secret-missing", "ask-a-person", `a secret cannot be read: ${reasonOf(error)}`);
  });
  return checked(content, secret.file);
}

function checked(content: string, where: string): string {
  const secret = content.trim();
  if (secret !== "" && !/[\r\n]/.test(secret)) return secret;
  throw new Failure("training-secret-missing", "ask-a-person", `${where} holds no secret: expected one line of text`);
}
