/** `tributary datasets push`, loaded on demand: it reads a folder of photos. */
import type { DatasetDetail } from "@tributary/api";
import { baseSetLimits } from "@tributary/model-packaging";
import type { Io } from "../context.ts";
import type { trainerAt } from "../gateway.ts";
import { labelledFolder } from "../labelled-folder.ts";
import { type Sent, uploadMissing } from "../upload.ts";

type Push = { readonly model: string; readonly folder: string; readonly by: string };

export async function pushBaseSet(
  trainer: ReturnType<typeof trainerAt>,
  { model, folder, by }: Push,
  io: Io,
): Promise<DatasetDetail & { readonly sent: Sent & { readonly of: number } }> {
  const { digest, parts } = await labelledFolder(folder, io, baseSetLimits);
  const sent = await uploadMissing(trainer, parts, io);
  const pushed = await trainer.datasets.push({ model, body: { manifestDigest: digest, by } });
  return { ...pushed, sent: { ...sent, of: parts.length } };
}
