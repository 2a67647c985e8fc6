import { expect, test } from "@jest/globals";
import { fitsHardware } from "./hardware.ts";

test("a package fits devices of its class; generic and any fit all of them", () => {
  for (const device of ["rpi5", "x64", "generic", "unknown", ""]) {
    expect(fitsHardware("generic", device)).toBe(true);
    expect(fitsHardware("any", device)).toBe(true);
  }
  expect(fitsHardware("rpi5", "rpi5")).toBe(true);
  // A device that reports no class may be anything.
  for (const device of ["x64", "RPI5", "generic", "any", ""]) expect(fitsHardware("rpi5", device)).toBe(false);
});
