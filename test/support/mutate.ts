/** Mutations of packets, seeded. */

type Random = (limit: number) => number;

const INTERESTING = [0, 1, 2, 4, 5, 6, 17, 0x7f, 0x80, 0xfe, 0xff] as const;

/** A changed copy: bits and bytes flipped (most of them in the headers), cut, lengthened or spliced with another packet. */
export function mutate(packet: Uint8Array, other: Uint8Array, random: Random): Uint8Array {
  let copy = packet.slice();
  const changes = 1 + random(4);
  for (let i = 0; i < changes; i++) {
    const at = copy.length === 0 ? 0 : random(random(4) === 0 ? copy.length : Math.min(copy.length, 96));
    switch (random(8)) {
      case 0:
        copy = copy.slice(0, random(copy.length + 1));
        break;
      case 1: {
        const longer = new Uint8Array(copy.length + random(64));
        longer.set(copy);
        copy = longer;
        break;
      }
      case 2: {
        const part = other.subarray(random(other.length), random(other.length) + 8);
        copy.set(part.subarray(0, Math.max(0, copy.length - at)), at);
        break;
      }
      case 3:
      case 4:
        if (copy.length > 0) copy[at] = INTERESTING[random(INTERESTING.length)]!;
        break;
      case 5:
        if (copy.length > 0) copy[at] = random(256);
        break;
      default:
        if (copy.length > 0) copy[at] = copy[at]! ^ (1 << random(8));
    }
  }
  return copy;
}
