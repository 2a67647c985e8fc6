/** What the gate's verdict on a model permits. Pure. */
import type { Model } from "@tributary/contracts";

/** Whether the gate compared the model with this champion. A forced model stays forced, and the champion is compared with none. */
export const isJudgedAgainst = ({ gate, modelDigest }: Model, champion: Model | undefined): boolean =>
  champion === undefined ||
  champion.modelDigest === modelDigest ||
  (gate !== null && (gate.forcedBy !== "" || gate.championDigest === champion.modelDigest));

/** Lines of its gate that more frames would decide; none for a forced model. */
export const unsureLines = ({ gate }: Model): readonly string[] =>
  gate === null || gate.forcedBy !== "" ? [] : gate.unsure;

/** Whether it passed its gate, or was forced. */
export const hasPassed = ({ gate }: Model): boolean => gate !== null && (gate.passed || gate.forcedBy !== "");
