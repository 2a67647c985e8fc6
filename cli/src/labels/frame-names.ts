/**
 * Frame ids as file names, and back. A device or camera id has no dot, so `cam-01.5497558138881.front.17.jpg` is one
 * frame's; colons are refused by some file systems and labelling tools.
 */
import { parseFrameId } from "@tributary/kernel";

export const pictureNameOf = (frameId: string): string => `${frameId.replaceAll(":", ".")}.jpg`;

/** Label Studio puts eight hex digits and a dash before the name of an uploaded file. */
const UPLOADED = /^[0-9a-f]{8}-(?=.)/;

/** The frame of a picture by its path or URL, if its name is one of ours. */
export function frameOfPicture(path: string): string | undefined {
  const [place = "", query = ""] = path.split("?", 2);
  const isUpload = /(^|\/)upload\//.test(place);
  for (const text of [place.split("#")[0] ?? "", ...query.split("&")]) {
    const stem = decoded(text.split(/[\\/=]/).at(-1) ?? "").replace(/\.jpe?g$/i, "");
    const frame = (isUpload ? frameOf(stem.replace(UPLOADED, "")) : undefined) ?? frameOf(stem);
    if (frame !== undefined) return frame;
  }
  return undefined;
}

function frameOf(stem: string): string | undefined {
  const parts = stem.split(".");
  if (parts.length !== 4) return undefined;
  try {
    const text = parts.join(":");
    parseFrameId(text);
    return text;
  } catch {
    return undefined;
  }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
