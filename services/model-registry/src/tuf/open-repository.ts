/** Signed metadata in a folder, signed with the online keys in another. */
import { join } from "node:path";
import { type Clock, Failure } from "@tributary/kernel";
import {
  folderMetadataStore,
  type MetadataStore,
  type OnlineRole,
  readSigner,
  TufRepository,
} from "@tributary/tuf/repository";

export type OpenedRepository = { readonly repository: TufRepository; readonly store: MetadataStore };

export async function openRepository(
  folders: { readonly keys: string; readonly metadata: string },
  clock: Clock,
): Promise<OpenedRepository> {
  const store = folderMetadataStore(folders.metadata);
  const signer = (role: OnlineRole) => readSigner(join(folders.keys, `${role}.pem`)).catch(advise);
  const signers = {
    targets: await signer("targets"),
    snapshot: await signer("snapshot"),
    timestamp: await signer("timestamp"),
  };
  return { repository: await TufRepository.open({ store, signers, clock }), store };
}

function advise(error: unknown): never {
  if (!(error instanceof Failure)) throw error;
  const advice = "make keys with `tributary models keys init DATADIR --offline DIR`";
  throw new Failure(error.code, error.advice, `${error.message}; ${advice}`, { cause: error });
}
