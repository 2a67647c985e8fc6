/**
 * Saved pictures as tasks that Label Studio imports, and the labelling interface of their classes. Pure.
 *
 * Label Studio serves the pictures itself from a folder that is its local storage: the folder's parent is its document root
 * (LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT). Its export names the frame in each task, so `labels import` takes it as it is.
 */
import type { NextLabel } from "@tributary/api";
import { pictureNameOf } from "./frame-names.ts";

/** `folder`: name of the folder below the document root. */
export function tasksOf(items: readonly NextLabel[], folder: string): string {
  const tasks = items.map(({ frameId, why, training, answer }) => ({
    data: {
      image: `/data/local-files/?d=${encodeURIComponent(folder)}/${encodeURIComponent(pictureNameOf(frameId))}`,
      frameId,
      why,
      ...(training != null && { training }),
      edgeLabel: answer.edgeLabel,
    },
  }));
  return `${JSON.stringify(tasks, null, 2)}\n`;
}

export const labellingConfigOf = (classes: readonly string[]): string =>
  [
    "<View>",
    '  <Image name="image" value="$image"/>',
    '  <Choices name="label" toName="image" choice="single" showInLine="true">',
    ...classes.map((name) => `    <Choice value="${escaped(name)}"/>`),
    "  </Choices>",
    "</View>",
    "",
  ].join("\n");

const escaped = (text: string): string => text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
