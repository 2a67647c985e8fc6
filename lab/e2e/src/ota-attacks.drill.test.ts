/** G6: no update attack is accepted, and a device that verified nothing would accept each; the short run of `chaos ota-attacks`. */
import { afterAll, describe, expect, test } from "@jest/globals";
import { runAttacks } from "@tributary/chaos";
import { tempDir } from "@tributary/testing";

const ATTACKS = 210;

describe("given a registry and who holds its network, with or without stolen keys", () => {
  const dir = tempDir("ota-attacks");
  afterAll(() => dir.remove());

  test("when devices update, then no attack of any class is accepted, and all would be without verification", async () => {
    const options = { attacks: ATTACKS, seed: 7 };
    const [asItIs, control] = await runAttacks({ dir: dir.path, options, log: () => {} });
    const failed = [...(asItIs?.checks ?? []), ...(control?.checks ?? [])].filter(({ passed }) => !passed);
    expect(failed).toEqual([]);
    expect(asItIs?.figures).toMatchObject({ attacks: ATTACKS, accepted: 0 });
    expect(control?.figures).toMatchObject({ accepted: ATTACKS });
  }, 240_000);
});
