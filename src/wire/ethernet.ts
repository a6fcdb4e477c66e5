/** Link headers: Ethernet with VLAN tags, and the Linux cooked headers found in captures. */

export const ETHERTYPE_IPV4 = 0x0800;
export const ETHERTYPE_IPV6 = 0x86dd;
const ETHERTYPE_8021Q = 0x8100;
const ETHERTYPE_8021AD = 0x88a8;
/** Bytes of the header without tags. */
export const ETHERNET_HEADER = 14;
const TAG = 4;
const MAX_TAGS = 2;

const isIp = (type: number): boolean => type === ETHERTYPE_IPV4 || type === ETHERTYPE_IPV6;

/** Offset of the IP header in the Ethernet frame of `length` bytes at `o`, behind at most 2 VLAN tags; -1 when it carries no IP. */
export function ipInEthernet(b: DataView, o: number, length: number): number {
  if (length < ETHERNET_HEADER) return -1;
  let type = b.getUint16(o + 12);
  let at = o + ETHERNET_HEADER;
  for (let tags = 0; (type === ETHERTYPE_8021Q || type === ETHERTYPE_8021AD) && tags < MAX_TAGS; tags++) {
    if (at + TAG > o + length) return -1;
    type = b.getUint16(at + 2);
    at += TAG;
  }
  return isIp(type) ? at : -1;
}

/** Offset of the IP header behind a Linux cooked header (LINKTYPE_LINUX_SLL, 16 bytes); -1 when there is none. */
export function ipInCooked(b: DataView, o: number, length: number): number {
  return length >= 16 && isIp(b.getUint16(o + 14)) ? o + 16 : -1;
}

/** Offset of the IP header behind a version 2 cooked header (LINKTYPE_LINUX_SLL2, 20 bytes); -1 when there is none. */
export function ipInCooked2(b: DataView, o: number, length: number): number {
  return length >= 20 && isIp(b.getUint16(o)) ? o + 20 : -1;
}
