/** Numbers on the command line: another text is a usage error that says which would do. */
import { InvalidArgumentError } from "commander";

export const numberFrom =
  (min: number) =>
  (text: string): number => {
    const value = numberOf(text);
    if (!(value >= min)) throw new InvalidArgumentError(`a number from ${min} is needed.`);
    return value;
  };

export const wholeFrom =
  (min: number) =>
  (text: string): number => {
    const value = numberOf(text);
    if (!(Number.isInteger(value) && value >= min))
      throw new InvalidArgumentError(`a whole number from ${min} is needed.`);
    return value;
  };

/** JavaScript takes an empty text for 0. */
const numberOf = (text: string): number => (text.trim() === "" ? Number.NaN : Number(text));
