/** The pictures of a report inside it, so that the file shows them wherever it is opened. */
import type { Context } from "../context.ts";
import { CliError } from "../exit-codes.ts";

const PICTURE = /<img src="(\/api\/v1\/frames\/([^"/]+)\/image)"/g;
const PICTURES_AT_ONCE = 4;

export async function withPictures({ gateway }: Context, page: Uint8Array): Promise<Uint8Array> {
  const text = Buffer.from(page).toString("utf8");
  const frames = [...new Set([...text.matchAll(PICTURE)].map(([, , frame = ""]) => frame))];
  const pictures = new Map<string, string>();
  const fetchNext = async (): Promise<void> => {
    for (let frame = frames.pop(); frame !== undefined; frame = frames.pop()) {
      try {
        const picture = await gateway.frames.image({ frameId: decodeURIComponent(frame) });
        pictures.set(frame, `data:image/jpeg;base64,${Buffer.from(picture).toString("base64")}`);
      } catch (error) {
        if (!(error instanceof CliError)) throw error; // A picture that is gone does not cost the report.
      }
    }
  };
  await Promise.all(Array.from({ length: PICTURES_AT_ONCE }, fetchNext));
  const embedded = text.replaceAll(PICTURE, (whole, path: string, frame: string) =>
    whole.replace(path, pictures.get(frame) ?? path),
  );
  return Buffer.from(embedded);
}
