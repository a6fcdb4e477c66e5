/** The role of a host for packets from the router: find the service and the owner, send the packet there. */
import {
  GSO_NONE,
  GSO_TCPV4,
  GSO_TCPV6,
  GSO_UDP_L4,
  LINK_ETHERNET,
  type LinkType,
  RX_CSUM_OFFSET,
  RX_CSUM_START,
  RX_FLAGS,
  RX_GSO_SIZE,
  RX_GSO_TYPE,
  RX_LENGTH,
  RX_NEEDS_CSUM,
  RX_OFFSET,
  RX_STRIDE,
  type RxBurst,
} from "../io/packet-io.ts";
import { counterAt, countService, countVerdict } from "../shm/counters.ts";
import { hopOf } from "../shm/forwarding-table.ts";
import { GSO_UNKNOWN, MALFORMED, NO_HOST_LEFT, NOT_OURS, OK } from "../shm/verdict.ts";
import { NO_HOST } from "../steering/maglev.ts";
import { ipInEthernet } from "../wire/ethernet.ts";
import { TCP, tcpHeaderLength } from "../wire/tcp.ts";
import { UDP, UDP_HEADER } from "../wire/udp.ts";
import type { Context } from "./context.ts";
import { deliver } from "./deliver.ts";
import { sendToPeer } from "./encap.ts";
import { bucketFor, destinationVip, hashFlow, serviceOf } from "./flow.ts";
import { parseNetwork, parseTransport } from "./parse.ts";
import { FRAGMENT_NONE, type Parsed } from "./parsed.ts";
import { directSlice } from "./slice.ts";

const FRAMES = counterAt("uplinkFrames");
const PACKETS = counterAt("uplinkPackets");
const BYTES = counterAt("uplinkBytes");

/** Steers a burst from the uplink. */
export function direct(context: Context, burst: RxBurst, link: LinkType): void {
  const { counters, parsed: p } = context;
  const records = burst.records;
  let packets = 0;
  let bytes = 0;
  for (let i = 0; i < burst.count; i++) {
    p.packets = 1;
    p.sumField = -1;
    const verdict = directPacket(context, records, i * RX_STRIDE, link);
    packets += p.packets;
    bytes += records[i * RX_STRIDE + RX_LENGTH]!;
    countVerdict(counters, verdict, p.packets);
  }
  counters[FRAMES] = counters[FRAMES]! + burst.count;
  counters[PACKETS] = counters[PACKETS]! + packets;
  counters[BYTES] = counters[BYTES]! + bytes;
}

function directPacket(context: Context, records: Int32Array, r: number, link: LinkType): number {
  const { bytes: b, parsed: p, tables: t } = context;
  const offset = records[r + RX_OFFSET]!;
  const length = records[r + RX_LENGTH]!;
  const ip = link === LINK_ETHERNET ? ipInEthernet(b, offset, length) : offset;
  if (ip < 0) return NOT_OURS;
  const network = parseNetwork(b, ip, offset + length - ip, p);
  if (network !== OK) return network;
  const vip = destinationVip(t, p);
  if (vip < 0) return NOT_OURS;
  const transport = parseTransport(b, p);
  if (transport !== OK) return transport;
  // Early, so that the processor looks the service up while it hashes.
  hashFlow(t, p);
  const offloads = (records[r + RX_FLAGS]! | records[r + RX_GSO_TYPE]!) === 0 ? OK : readOffloads(b, records, r, p);
  if (offloads !== OK) return offloads;
  if (vip >= t.firstEgress) return directSlice(context, vip, records[r + RX_GSO_TYPE]!);
  const service = serviceOf(t, vip, p);
  if (service < 0) return -service;
  const host = hopOf(t, service, bucketFor(t, service, p), 0);
  if (host === NO_HOST) return NO_HOST_LEFT;
  countService(context.counters, service, p.packets, p.end - ip);
  return host === t.self ? deliver(context, records[r + RX_GSO_TYPE]!) : sendToPeer(context, host);
}

/**
 * Takes over what the virtio header says: an open checksum, and the segments of a super-segment. Returns OK, or the verdict
 * when it contradicts the packet.
 */
function readOffloads(b: DataView, records: Int32Array, r: number, p: Parsed): number {
  if ((records[r + RX_FLAGS]! & RX_NEEDS_CSUM) !== 0) {
    const start = records[r + RX_OFFSET]! + records[r + RX_CSUM_START]!;
    const field = start + records[r + RX_CSUM_OFFSET]!;
    if (start < p.ip || field < start || field + 2 > p.end) return MALFORMED;
    p.sumStart = start;
    p.sumField = field;
  }
  const type = records[r + RX_GSO_TYPE]!;
  if (type === GSO_NONE) return OK;
  const protocol = p.protocol;
  const known =
    type === GSO_UDP_L4
      ? protocol === UDP
      : protocol === TCP && ((type === GSO_TCPV4 && p.version === 4) || (type === GSO_TCPV6 && p.version === 6));
  const segment = records[r + RX_GSO_SIZE]!;
  if (!known || segment <= 0 || p.fragment !== FRAGMENT_NONE) return GSO_UNKNOWN;
  const l4 = p.l4;
  const headers = l4 - p.ip + (protocol === TCP ? tcpHeaderLength(b, l4) : UDP_HEADER);
  const payload = p.end - p.ip - headers;
  p.headers = headers;
  p.segment = segment;
  p.packets = payload > segment ? Math.ceil(payload / segment) : 1;
  return OK;
}
