/** Later fragments that came before their first: copies of a few, kept for a moment. */

/** Bytes of a copy: the largest frame that is held, and headroom in front of it for headers. */
const SLOT = 9472;
const HEADROOM = 256;
/** Copies that a worker keeps at most. */
const SLOTS = 32;
/** Bytes at the end of the pool that they take. */
export const HELD_BYTES = SLOTS * SLOT;

/** Words of a copy: its length, outer traffic class, role, and when it came. */
const LENGTH = 0;
const CLASS = 1;
const ROLE = 2;
const CAME = 3;
const STRIDE = 4;

export interface HeldFragments {
  /** Copies held now. */
  count: number;
  readonly slots: number;
  readonly words: Int32Array;
  /** Slots in the order their copies came; behind `count` those that are free. */
  readonly order: Int32Array;
  readonly start: number;
}

/** Copies from `start` to the end of a pool of `bytes` bytes; as many as there is room for. */
export function createHeld(start: number, bytes: number): HeldFragments {
  const slots = Math.max(0, Math.min(SLOTS, Math.floor((bytes - start) / SLOT)));
  const order = Int32Array.from({ length: slots }, (_, slot) => slot);
  return { count: 0, slots, words: new Int32Array(slots * STRIDE), order, start };
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
  const i = held.count++;
  const at = heldAt(held, i);
  for (let k = 0; k < length; k++) b.setUint8(at + k, b.getUint8(from + k));
  const w = held.words;
  const word = held.order[i]! * STRIDE;
  w[word + LENGTH] = length;
  w[word + CLASS] = trafficClass;
  w[word + ROLE] = role;
  w[word + CAME] = clock;
  return true;
}

/** Where copy number `i` of those held lies, in the order they came. */
export const heldAt = (held: HeldFragments, i: number): number => held.start + held.order[i]! * SLOT + HEADROOM;
export const heldLength = (held: HeldFragments, i: number): number => held.words[held.order[i]! * STRIDE + LENGTH]!;
export const heldClass = (held: HeldFragments, i: number): number => held.words[held.order[i]! * STRIDE + CLASS]!;
export const heldRole = (held: HeldFragments, i: number): number => held.words[held.order[i]! * STRIDE + ROLE]!;
export const heldSince = (held: HeldFragments, i: number): number => held.words[held.order[i]! * STRIDE + CAME]!;

/** Frees the place of copy number `i`; those behind it move up. Its bytes stay until another is held. */
export function release(held: HeldFragments, i: number): void {
  const slot = held.order[i]!;
  held.order.copyWithin(i, i + 1);
  held.order[held.slots - 1] = slot;
  held.count--;
}
