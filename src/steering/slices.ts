/**
 * Soft-unicast: the ports of a shared egress IP, cut into slices of equal size. Slice n is ports n * size to
 * n * size + size - 1; those that hold a port below 1024 are never used, nor is what is left over at the upper end.
 */

/** Ports below are well-known: firewalls and servers distrust them as source ports. */
export const FIRST_PORT = 1024;
const PORTS = 65_536;

/** Both ends belong to it. */
export interface Ports {
  readonly from: number;
  readonly to: number;
}

/** The lowest slice of that many ports that can be used. */
export const firstSlice = (size: number): number => Math.ceil(FIRST_PORT / size);

/** The highest one; below firstSlice when none fits. */
export const lastSlice = (size: number): number => Math.floor(PORTS / size) - 1;

/** The slice a port is in. */
export const sliceOfPort = (port: number, size: number): number => Math.floor(port / size);

/** The ports of a slice. */
export const portsOfSlice = (slice: number, size: number): Ports => ({ from: slice * size, to: (slice + 1) * size - 1 });

/** The ports of some slices, ascending, neighbours merged. */
export function portsOfSlices(slices: readonly number[], size: number): Ports[] {
  const merged: { from: number; to: number }[] = [];
  for (const slice of [...new Set(slices)].sort((a, b) => a - b)) {
    const { from, to } = portsOfSlice(slice, size);
    const last = merged.at(-1);
    if (last?.to === from - 1) last.to = to;
    else merged.push({ from, to });
  }
  return merged;
}

/** How many ports there are in ranges that do not overlap. */
export const portCount = (ranges: readonly Ports[]): number => ranges.reduce((sum, { from, to }) => sum + to - from + 1, 0);
