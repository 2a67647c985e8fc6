import { expect, test } from "@jest/globals";
import { labelArgument, labelOption, labelWords } from "./device-labels.ts";

test("labels are read as kubectl reads them, and the last of a key holds", () => {
  expect(optionsOf("lens=acme-2", "rack=a=b", "lens=acme-3")).toEqual({ lens: "acme-3", rack: "a=b" });
  expect(argumentsOf("lens=acme-2", "rack-")).toEqual({ lens: "acme-2", rack: null });
  expect(labelWords({ rack: "7", lens: "acme-2" })).toBe("lens=acme-2,rack=7");
});

test.each(["lens", "=x", "-", ""])("%j is no label", (text) => {
  expect(() => labelArgument(text)).toThrow("expected KEY=VALUE");
});

test("a registration removes nothing", () => {
  expect(() => labelOption("lens-")).toThrow("expected KEY=VALUE, e.g.");
});

const optionsOf = (...texts: string[]) => texts.reduce((before, text) => labelOption(text, before), {});
const argumentsOf = (...texts: string[]) => texts.reduce((before, text) => labelArgument(text, before), {});
