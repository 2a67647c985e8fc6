import { expect, test } from "@jest/globals";
import { Output, printable } from "./output.ts";

test("control sequences are escaped; colours and columns stay", () => {
  expect(printable("\u001b]0;title\u0007 a\tb\u009b2J \u001b[31mred\u001b[39m é")).toBe(
    "\\u001b]0;title\\u0007 a\\tb?2J \u001b[31mred\u001b[39m é",
  );
  let text = "";
  const output = new Output("table", false, (piece) => {
    text += piece;
  });
  const view = { name: String, columns: [{ head: "NAME", of: (item: string) => item }] };
  output.list(["one\n\u001b[2Jtwo"], view, "");
  expect(text).toBe("NAME\none\\n\\u001b[2Jtwo\n");
  text = "";
  output.line('  "\u001b]0;title\u0007cat" by EDGE\nand so on'); // As `router explain` quotes a device's label.
  expect(text).toBe('  "\\u001b]0;title\\u0007cat" by EDGE\nand so on\n');
});
