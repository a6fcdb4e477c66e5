/** Puts IPv4 fragments together, naively, for tests. Throws when they do not make one packet. */
import assert from "node:assert/strict";
import { checksum } from "./packets.ts";

const be16 = (b: Uint8Array, at: number): number => (b[at]! << 8) | b[at + 1]!;

/** Offset in bytes of a fragment's payload in the whole packet's. */
export const fragmentOffset = (packet: Uint8Array): number => (be16(packet, 6) & 0x1fff) * 8;

export const moreFragments = (packet: Uint8Array): boolean => (packet[6]! & 0x20) !== 0;

/**
 * The packet that fragments, in order, make: the first one's header, made whole. Fragments of a fragment give that fragment.
 */
export function reassemble(fragments: readonly Uint8Array[]): Uint8Array {
  const first = fragments[0]!;
  const header = (first[0]! & 15) * 4;
  const parts: Uint8Array[] = [];
  let at = fragmentOffset(first);
  fragments.forEach((fragment, i) => {
    const own = (fragment[0]! & 15) * 4;
    assert.equal(checksum(fragment.subarray(0, own)), 0, "header checksum");
    assert.equal(be16(fragment, 2), fragment.length, "total length");
    assert.equal(fragmentOffset(fragment), at, "offset");
    assert.equal(be16(fragment, 4), be16(first, 4), "identification");
    assert.equal(Buffer.compare(fragment.subarray(12, 20), first.subarray(12, 20)), 0, "addresses");
    if (i < fragments.length - 1) {
      assert.ok(moreFragments(fragment), "more fragments");
      assert.equal((fragment.length - own) % 8, 0, "multiple of 8");
    }
    parts.push(fragment.subarray(own));
    at += fragment.length - own;
  });
  const whole = Uint8Array.from([...first.subarray(0, header), ...parts.flatMap((part) => [...part])]);
  const flags = (be16(first, 6) & ~0x2000) | (moreFragments(fragments.at(-1)!) ? 0x2000 : 0);
  whole.set([whole.length >> 8, whole.length & 255], 2);
  whole.set([flags >> 8, flags & 255], 6);
  whole.set([0, 0], 10);
  const sum = checksum(whole.subarray(0, header));
  whole.set([sum >> 8, sum & 255], 10);
  return whole;
}
