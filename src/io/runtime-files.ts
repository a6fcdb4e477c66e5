/** The shared files of a runtime directory: their names, and how each is mapped. */
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { CONTROL_BYTES } from "../shm/control-block.ts";
import { bootOf, isRegion, type Layout, markRegion } from "../shm/region.ts";
import { native } from "./native.ts";

export const countersPath = (dir: string): string => join(dir, "counters");
export const flowsPath = (dir: string): string => join(dir, "flows");
export const fragmentsPath = (dir: string): string => join(dir, "fragments");
export const synsPath = (dir: string): string => join(dir, "syns");
export const historyPath = (dir: string): string => join(dir, "generations.json");
/** The serial is part of the name: a bank that grows becomes a new file, and who still reads the old one is not disturbed. */
export const bankPath = (dir: string, bank: number, serial: number): string => join(dir, `tables-${bank}.${serial}`);

export const controlPath = (dir: string): string => join(dir, "control");

/** Maps the control block, making it if `create`. Throws when it is missing or cannot be mapped. */
export const mapControl = (dir: string, create: boolean): ArrayBuffer =>
  native().mapFile(controlPath(dir), CONTROL_BYTES, create);

/** Maps the file of a bank. */
export const mapBank = (dir: string, bank: number, serial: number, bytes: number, create: boolean): ArrayBuffer =>
  native().mapFile(bankPath(dir, bank, serial), bytes, create);

/** A number for the time since the machine was started: clocks of other times say nothing now (boot_id in random(4)). */
const boot = (): number => Number.parseInt(readFileSync("/proc/sys/kernel/random/boot_id", "latin1").slice(0, 8), 16) | 0;

/**
 * Maps a region's file and keeps it when it is of this layout and size, and not from before the machine was started. Else it is replaced by a new one, not changed: somebody
 * may have it mapped. Returns whether it was kept.
 */
export function mapRegion(path: string, bytes: number, layout: Layout): { buffer: ArrayBuffer; kept: boolean } {
  const found = native().mapFile(path, bytes, true);
  if (isRegion(found, layout) && bootOf(found) === boot()) return { buffer: found, kept: true };
  rmSync(path, { force: true });
  const buffer = native().mapFile(path, bytes, true);
  markRegion(buffer, layout, boot());
  return { buffer, kept: false };
}

/** Maps a region's file that another process uses, and changes nothing. Throws when it is missing or not of this layout and size. */
export function mapKept(path: string, bytes: number, layout: Layout): ArrayBuffer {
  const buffer = native().mapFile(path, bytes, false);
  if (!isRegion(buffer, layout)) throw new Error(`${path}: of another layout than this version's`);
  return buffer;
}
