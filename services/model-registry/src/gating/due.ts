/**
 * Which challenger the gate has to evaluate. Pure.
 *
 * A challenger is compared with the current champion; with another champion it is compared again. What a person forced stays
 * forced, whoever is champion. Without a champion, or without validation frames, there is no verdict, and the reason is
 * given.
 */
import type { Model } from "@tributary/contracts";
import type { ModelTable } from "@tributary/models";

export const CHAMPION = "champion";
export const CHALLENGER = "challenger";
/** Input of a world model. */
export const CONTEXT = "context";

export type GateNeed =
  | { readonly kind: "none" }
  | { readonly kind: "blocked"; readonly challenger: Model; readonly why: string }
  | { readonly kind: "due"; readonly challenger: Model; readonly champion: Model };

export function gateNeed(
  name: string,
  table: Pick<ModelTable, "byAlias">,
  hasFrames: (name: string) => boolean,
): GateNeed {
  const challenger = table.byAlias(name, CHALLENGER);
  const champion = table.byAlias(name, CHAMPION);
  if (challenger?.state !== "LISTED" || challenger.modelDigest === champion?.modelDigest) return { kind: "none" };
  const { gate } = challenger;
  if (gate !== null && gate.forcedBy !== "") return { kind: "none" };
  if (champion === undefined) {
    const why = `no version of ${name} is champion; the first one becomes it by hand: tributary models alias ${name}@VERSION champion`;
    return { kind: "blocked", challenger, why };
  }
  if (gate?.championDigest === champion.modelDigest) return { kind: "none" };
  // A world model is judged on the road: no frame shows what a context is like.
  if (challenger.input !== CONTEXT && !hasFrames(name)) {
    const why = `there are no validation frames for ${name}: tributary validation push ${name} FOLDER`;
    return { kind: "blocked", challenger, why };
  }
  return { kind: "due", challenger, champion };
}
