/** What the virtio header in front of a frame says: an open checksum, the packets of a super-segment. */
import {
  GSO_NONE,
  GSO_TCPV4,
  GSO_TCPV6,
  GSO_UDP_L4,
  RX_CSUM_OFFSET,
  RX_CSUM_START,
  RX_CWR_FIRST,
  RX_FLAGS,
  RX_GSO_SIZE,
  RX_GSO_TYPE,
  RX_NEEDS_CSUM,
  RX_OFFSET,
} from "../io/packet-io.ts";
import { GSO_UNKNOWN, MALFORMED, OK } from "../shm/verdict.ts";
import { TCP, tcpHeaderLength } from "../wire/tcp.ts";
import { UDP, UDP_HEADER } from "../wire/udp.ts";
import { LONGEST } from "./big-tcp.ts";
import { FRAGMENT_NONE, type Parsed, setSingle } from "./parsed.ts";

/**
 * Takes over what the virtio header says of the packet in hand, read through its transport header: an open checksum, which lies behind
 * the IP headers, and the segments of a super-segment. Returns OK, or the verdict when it contradicts the packet.
 */
export function readOffloads(b: DataView, records: Int32Array, r: number, p: Parsed): number {
  setSingle(p);
  if ((records[r + RX_FLAGS]! & RX_NEEDS_CSUM) !== 0) {
    const start = records[r + RX_OFFSET]! + records[r + RX_CSUM_START]!;
    const field = start + records[r + RX_CSUM_OFFSET]!;
    if (start < p.l4 || field < start || field + 2 > p.end) return MALFORMED;
    p.sumStart = start;
    p.sumField = field;
  }
  const type = records[r + RX_GSO_TYPE]!;
  if (type === GSO_NONE) return OK;
  if (!readSegments(b, p, type, records[r + RX_GSO_SIZE]!)) return GSO_UNKNOWN;
  p.cwrFirst = records[r + RX_FLAGS]! & RX_CWR_FIRST;
  return p.packets === 1 && p.end - p.ip > LONGEST ? MALFORMED : OK;
}

/**
 * Sets headers, segment size and packets of the super-segment in hand. Returns false when `type` and `segment`, those of the virtio
 * header, are not of such a packet.
 */
export function readSegments(b: DataView, p: Parsed, type: number, segment: number): boolean {
  const protocol = p.protocol;
  const known =
    type === GSO_UDP_L4
      ? protocol === UDP
      : protocol === TCP && ((type === GSO_TCPV4 && p.version === 4) || (type === GSO_TCPV6 && p.version === 6));
  if (!known || segment <= 0 || p.fragment !== FRAGMENT_NONE) return false;
  const l4 = p.l4;
  const headers = l4 - p.ip + (protocol === TCP ? tcpHeaderLength(b, l4) : UDP_HEADER);
  const payload = p.end - p.ip - headers;
  p.headers = headers;
  p.segment = segment;
  p.packets = payload > segment ? Math.ceil(payload / segment) : 1;
  return true;
}
