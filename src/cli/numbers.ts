/** Numbers on the command line. */
import { InvalidArgumentError } from "commander";

/** Reads a whole number between two bounds. */
export const whole = (least: number, most: number) => (text: string) => {
  const n = Number(text);
  if (!/^\d+$/.test(text) || n < least || n > most) throw new InvalidArgumentError(`a whole number from ${least} to ${most}`);
  return n;
};
