/** What the gate's verdict on a model lets happen. Pure. */
import type { Model } from "@tributary/contracts";

/** Whether the gate's word is of this champion. What somebody forced stays forced, and the champion is compared with nobody. */
export const isJudgedAgainst = ({ gate, modelDigest }: Model, champion: Model | undefined): boolean =>
  champion === undefined ||
  champion.modelDigest === modelDigest ||
  (gate !== null && (gate.forcedBy !== "" || gate.championDigest === champion.modelDigest));

/** Lines of its gate that more frames would decide, unless somebody forced it. */
export const unsureLines = ({ gate }: Model): readonly string[] =>
  gate === null || gate.forcedBy !== "" ? [] : gate.unsure;

/** Whether the gate lets it through. */
export const hasPassed = ({ gate }: Model): boolean => gate !== null && (gate.passed || gate.forcedBy !== "");
