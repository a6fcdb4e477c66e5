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
import { bucketOf, hopOf } from "../shm/forwarding-table.ts";
import { GSO_UNKNOWN, MALFORMED, NO_HOST_LEFT, NOT_OURS, OK } from "../shm/verdict.ts";
import { NO_HOST } from "../steering/maglev.ts";
import { ipInEthernet } from "../wire/ethernet.ts";
import { TCP, tcpHeaderLength } from "../wire/tcp.ts";
import { UDP, UDP_HEADER } from "../wire/udp.ts";
import type { Context } from "./context.ts";
import { deliver } from "./deliver.ts";
import { sendToPeer } from "./encap.ts";
import { destinationVip, hashFlow, serviceOf } from "./flow.ts";
import { parseNetwork, parseTransport } from "./parse.ts";
import {
  FRAGMENT_NONE,
  P_END,
  P_FRAGMENT,
  P_HASH,
  P_HEADERS,
  P_IP,
  P_L4,
  P_PACKETS,
  P_PROTOCOL,
  P_SEGMENT,
  P_SUM_FIELD,
  P_SUM_START,
  P_VERSION,
} from "./parsed.ts";

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
    p[P_PACKETS] = 1;
    const verdict = directPacket(context, records, i * RX_STRIDE, link);
    packets += p[P_PACKETS]!;
    bytes += records[i * RX_STRIDE + RX_LENGTH]!;
    countVerdict(counters, verdict, p[P_PACKETS]!);
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
  const offloads = readOffloads(b, records, r, p);
  if (offloads !== OK) return offloads;
  const service = serviceOf(t, vip, p);
  if (service < 0) return -service;

  hashFlow(t, service, p);
  const host = hopOf(t, service, bucketOf(t, p[P_HASH]!), 0);
  if (host === NO_HOST) return NO_HOST_LEFT;
  countService(context.counters, service, p[P_PACKETS]!, p[P_END]! - ip);
  return host === t.self ? deliver(context, records[r + RX_GSO_TYPE]!) : sendToPeer(context, host);
}

/**
 * Takes over what the virtio header says: an open checksum, and the segments of a super-segment. Returns OK, or the verdict
 * when it contradicts the packet.
 */
function readOffloads(b: DataView, records: Int32Array, r: number, p: Int32Array): number {
  p[P_SUM_FIELD] = -1;
  if ((records[r + RX_FLAGS]! & RX_NEEDS_CSUM) !== 0) {
    const start = records[r + RX_OFFSET]! + records[r + RX_CSUM_START]!;
    const field = start + records[r + RX_CSUM_OFFSET]!;
    if (start < p[P_IP]! || field < start || field + 2 > p[P_END]!) return MALFORMED;
    p[P_SUM_START] = start;
    p[P_SUM_FIELD] = field;
  }
  const type = records[r + RX_GSO_TYPE]!;
  if (type === GSO_NONE) return OK;
  const protocol = p[P_PROTOCOL]!;
  const known =
    type === GSO_UDP_L4
      ? protocol === UDP
      : protocol === TCP && ((type === GSO_TCPV4 && p[P_VERSION] === 4) || (type === GSO_TCPV6 && p[P_VERSION] === 6));
  const segment = records[r + RX_GSO_SIZE]!;
  if (!known || segment <= 0 || p[P_FRAGMENT] !== FRAGMENT_NONE) return GSO_UNKNOWN;
  const l4 = p[P_L4]!;
  const headers = l4 - p[P_IP]! + (protocol === TCP ? tcpHeaderLength(b, l4) : UDP_HEADER);
  const payload = p[P_END]! - p[P_IP]! - headers;
  p[P_HEADERS] = headers;
  p[P_SEGMENT] = segment;
  p[P_PACKETS] = payload > segment ? Math.ceil(payload / segment) : 1;
  return OK;
}
