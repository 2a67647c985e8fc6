import { describe, expect, test } from "@jest/globals";
import { coresOf } from "./cores.ts";

describe("cores", () => {
  test.each([
    ["0-3", { frames: "0,1,2", background: "3" }],
    ["0-1", { frames: "0", background: "1" }],
    ["0,2-3\n", { frames: "0,2", background: "3" }],
    ["4-5,7", { frames: "4,5", background: "7" }],
  ])("of %j the last is the background's", (allowed, cores) => {
    expect(coresOf(allowed)).toEqual(cores);
  });

  test.each(["0", "3", ""])("%j leaves nothing to set apart", (allowed) => {
    expect(coresOf(allowed)).toBeNull();
  });
});
