/** Later fragments that came before their first: copies of a few, kept for a moment. */

/** Bytes of a copy: the largest frame that is held, and headroom in front of it for headers. */
const SLOT = 9472;
const HEADROOM = 256;
/** Copies that a worker keeps at most. */
const SLOTS = 32;
/** Bytes at the end of the pool that they take. */
export const HELD_BYTES = SLOTS * SLOT;

/** Words of a copy: where it is held (0 when free), its length, outer traffic class, role, and when it came. */
const AT = 0;
const LENGTH = 1;
const CLASS = 2;
const ROLE = 3;
const CAME = 4;
const STRIDE = 5;

export interface HeldFragments {
  /** Copies held now. */
  count: number;
  readonly slots: number;
  readonly words: Int32Array;
  readonly start: number;
}

/** Copies from `start` to the end of a pool of `bytes` bytes; as many as there is room for. */
export function createHeld(start: number, bytes: number): HeldFragments {
  const slots = Math.max(0, Math.min(SLOTS, Math.floor((bytes - start) / SLOT)));
  return { count: 0, slots, words: new Int32Array(slots * STRIDE), start };
}

/** Copies `length` bytes from `from`. Returns false when all places are taken, or it is too long. */
export function hold(
  held: HeldFragments,
  b: DataView,
  from: number,
  length: number,
  trafficClass: number,
  role: number,
  clock: number,
): boolean {
  if (held.count === held.slots || length > SLOT - HEADROOM) return false;
  const w = held.words;
  let slot = 0;
  while (w[slot * STRIDE + AT] !== 0) slot++;
  const at = held.start + slot * SLOT + HEADROOM;
  for (let i = 0; i < length; i++) b.setUint8(at + i, b.getUint8(from + i));
  w[slot * STRIDE + AT] = at;
  w[slot * STRIDE + LENGTH] = length;
  w[slot * STRIDE + CLASS] = trafficClass;
  w[slot * STRIDE + ROLE] = role;
  w[slot * STRIDE + CAME] = clock;
  held.count++;
  return true;
}

export const heldAt = (held: HeldFragments, slot: number): number => held.words[slot * STRIDE + AT]!;
export const heldLength = (held: HeldFragments, slot: number): number => held.words[slot * STRIDE + LENGTH]!;
export const heldClass = (held: HeldFragments, slot: number): number => held.words[slot * STRIDE + CLASS]!;
export const heldRole = (held: HeldFragments, slot: number): number => held.words[slot * STRIDE + ROLE]!;
export const heldSince = (held: HeldFragments, slot: number): number => held.words[slot * STRIDE + CAME]!;

/** Frees a copy's place; its bytes stay until another is held. */
export function release(held: HeldFragments, slot: number): void {
  held.words[slot * STRIDE + AT] = 0;
  held.count--;
}
