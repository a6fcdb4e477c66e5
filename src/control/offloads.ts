/** What this kernel can do to many packets at a time, and the config lets it. */
import { native } from "../io/native.ts";
import type { Offloads } from "./config.ts";

/** Bits of testOffloads(). */
const ABILITIES: Readonly<Record<keyof Offloads<boolean>, number>> = { sendTrains: 1, receiveTrains: 2, joinTcp: 4, joinUdp: 8 };

const NAMES = Object.keys(ABILITIES) as (keyof Offloads<boolean>)[];

/** Has the kernel try, once. `abilities` are bits of testOffloads(). */
export function findOffloads(wanted: Offloads<"auto" | "off">, abilities = native().testOffloads()): Offloads<boolean> {
  const used = (name: keyof Offloads<boolean>): boolean => wanted[name] === "auto" && (abilities & ABILITIES[name]) !== 0;
  return {
    sendTrains: used("sendTrains"),
    receiveTrains: used("receiveTrains"),
    joinTcp: used("joinTcp"),
    joinUdp: used("joinUdp"),
  };
}

/** One line of what is used, what is switched off and what the kernel cannot. */
export function describeOffloads(wanted: Offloads<"auto" | "off">, found: Offloads<boolean>): string {
  const of = (what: string, names: readonly string[]): string[] => (names.length === 0 ? [] : [`${what} ${names.join(", ")}`]);
  return [
    ...of(
      "used",
      NAMES.filter((name) => found[name]),
    ),
    ...of(
      "switched off in the config",
      NAMES.filter((name) => wanted[name] === "off"),
    ),
    ...of(
      "not in this kernel",
      NAMES.filter((name) => wanted[name] === "auto" && !found[name]),
    ),
  ].join("; ");
}
