/** Bytes that look random and are the same on every host. */

const BLOCK = 65_536;

/** One block from xorshift32: cheap, and no run of it compresses or repeats within the block. */
function makeBlock(): Uint8Array {
  const block = new Uint8Array(BLOCK);
  let x = 0x9e3779b9;
  for (let i = 0; i < BLOCK; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    block[i] = x;
  }
  return block;
}

/** `length` bytes in chunks of at most 64 KiB: one pseudo-random block over and over. */
export function* deterministicBytes(length: number): Generator<Uint8Array> {
  const block = makeBlock();
  for (let left = length; left > 0; left -= BLOCK) yield left < BLOCK ? block.subarray(0, left) : block;
}
