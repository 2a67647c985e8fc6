/** The attacks: Uptane's list (its "Deployment Considerations" name them: read, drop, slow retrieval, freeze, partial and mixed
 * bundles, rollback, endless data, mix-and-match, arbitrary software), wrong hardware, fast-forward, time, and stolen keys. Reading
 * is not among them: TUF does not encrypt, TLS does.
 *
 * Each variant names the stolen keys, and harms a device that verifies nothing. */

import { afterRotation } from "./attacks/after-rotation.ts";
import { arbitrarySoftware } from "./attacks/arbitrary-software.ts";
import { endlessData } from "./attacks/endless-data.ts";
import { fastForward } from "./attacks/fast-forward.ts";
import { freeze } from "./attacks/freeze.ts";
import { mixAndMatch } from "./attacks/mix-and-match.ts";
import { mixedBundles } from "./attacks/mixed-bundles.ts";
import { rollbackOfMetadata } from "./attacks/rollback-of-metadata.ts";
import { rollbackOfSoftware } from "./attacks/rollback-of-software.ts";
import { slowRetrieval } from "./attacks/slow-retrieval.ts";
import { tamperedPackage } from "./attacks/tampered-package.ts";
import { time } from "./attacks/time.ts";
import type { AttackClass } from "./attacks/vocabulary.ts";
import { withheld } from "./attacks/withheld.ts";
import { wrongHardware } from "./attacks/wrong-hardware.ts";

export const attackClasses: readonly AttackClass[] = [
  arbitrarySoftware,
  endlessData,
  freeze,
  rollbackOfMetadata,
  rollbackOfSoftware,
  mixAndMatch,
  mixedBundles,
  fastForward,
  wrongHardware,
  withheld,
  slowRetrieval,
  tamperedPackage,
  time,
  afterRotation,
];
