/** Times on the command line. */
import { InvalidArgumentError } from "commander";

const SECONDS: Readonly<Record<string, number>> = { "": 1, s: 1, m: 60, h: 3600 };
const MOST = 86_400;

/** Reads `90`, `90s`, `10m` or `2h` as seconds, a day at most. */
export function duration(text: string): number {
  const match = /^(\d+)([smh]?)$/.exec(text);
  const seconds = match === null ? Number.NaN : Number(match[1]) * SECONDS[match[2]!]!;
  if (!(seconds >= 1 && seconds <= MOST)) throw new InvalidArgumentError("a time like 90s, 10m or 2h, at most 24h");
  return seconds;
}

/** Seconds as one would say them. */
export const durationText = (seconds: number): string =>
  seconds % 3600 === 0 && seconds > 0
    ? `${seconds / 3600} h`
    : seconds % 60 === 0 && seconds > 0
      ? `${seconds / 60} min`
      : `${seconds} s`;
