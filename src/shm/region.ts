/**
 * Shared regions: a header of int32 words that says what the bytes behind it are. A region is a mapped file or plain
 * memory; whoever maps it gives the buffer.
 */

export const HEADER_WORDS = 4;
const MAGIC = 0;
const VERSION = 1;
const SIZE = 2;
const BOOT = 3;

/** What a kind of region is known by. */
export interface Layout {
  /** 4 ASCII letters as a word. */
  readonly magic: number;
  /** Raised whenever the meaning of the bytes changes. */
  readonly version: number;
}

/** A magic word from 4 ASCII letters. */
export const magic = (letters: string): number => letters.split("").reduce((word, c) => (word << 8) | c.charCodeAt(0), 0);

/** Whether the buffer holds a region of this layout and of exactly its own size. */
export function isRegion(buffer: ArrayBufferLike, layout: Layout): boolean {
  if (buffer.byteLength < HEADER_WORDS * 4) return false;
  const words = new Int32Array(buffer, 0, HEADER_WORDS);
  return words[MAGIC] === layout.magic && words[VERSION] === layout.version && words[SIZE] === buffer.byteLength;
}

/** Makes the buffer an empty region. The magic is written last, so that a half-made region is never taken for whole. */
export function formatRegion(buffer: ArrayBufferLike, layout: Layout): void {
  const words = new Int32Array(buffer, 0, HEADER_WORDS);
  Atomics.store(words, MAGIC, 0);
  new Uint8Array(buffer).fill(0);
  words[VERSION] = layout.version;
  words[SIZE] = buffer.byteLength;
  Atomics.store(words, MAGIC, layout.magic);
}

/** By which start of the machine the times in the region are; 0: it was not said. */
export const bootOf = (buffer: ArrayBufferLike): number => new Int32Array(buffer, 0, HEADER_WORDS)[BOOT]!;

/** Makes a buffer of zeros a region without touching more of it than the header: for large files that have just been made. */
export function markRegion(buffer: ArrayBufferLike, layout: Layout, boot: number): void {
  const words = new Int32Array(buffer, 0, HEADER_WORDS);
  words[BOOT] = boot;
  words[VERSION] = layout.version;
  words[SIZE] = buffer.byteLength;
  Atomics.store(words, MAGIC, layout.magic);
}

/** Opens a region in the buffer: as it is when it is of this layout, else made anew. Returns whether it was kept. */
export function openRegion(buffer: ArrayBufferLike, layout: Layout): boolean {
  if (isRegion(buffer, layout)) return true;
  formatRegion(buffer, layout);
  return false;
}
