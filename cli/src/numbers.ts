/** Numbers on the command line: other text is a usage error that names the valid range. */
import { InvalidArgumentError } from "commander";

export const numberFrom =
  (min: number) =>
  (text: string): number => {
    const value = numberOf(text);
    if (!(value >= min)) throw new InvalidArgumentError(`expected a number from ${min}.`);
    return value;
  };

export const wholeFrom =
  (min: number) =>
  (text: string): number => {
    const value = numberOf(text);
    if (!(Number.isInteger(value) && value >= min))
      throw new InvalidArgumentError(`expected a whole number from ${min}.`);
    return value;
  };

/** JavaScript converts an empty string to 0. */
const numberOf = (text: string): number => (text.trim() === "" ? Number.NaN : Number(text));
