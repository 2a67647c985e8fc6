/**
 * Which challenger the gate has to judge. Pure.
 *
 * D1. A challenger is judged against the champion of the moment; with another champion it is judged again.
 * D2. What somebody forced stays forced, whoever is champion.
 * D3. No champion, or no validation frames, is no verdict: it stays unjudged, and the reason is given.
 */
import type { Model } from "@tributary/contracts";
import type { ModelTable } from "@tributary/models";

export const CHAMPION = "champion";
export const CHALLENGER = "challenger";

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
  if (gate !== null && gate.forcedBy !== "") return { kind: "none" }; // D2
  if (champion === undefined) {
    const why = `no version of ${name} is champion; the first one becomes it by hand: tributary models alias ${name}@VERSION champion`;
    return { kind: "blocked", challenger, why }; // D3
  }
  if (gate?.championDigest === champion.modelDigest) return { kind: "none" }; // D1
  if (!hasFrames(name)) {
    const why = `there are no validation frames for ${name}: tributary validation push ${name} FOLDER`;
    return { kind: "blocked", challenger, why }; // D3
  }
  return { kind: "due", challenger, champion };
}
