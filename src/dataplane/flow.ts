/** Which service, and which hash, a flow has. */
import {
  bucketOf,
  findPeer,
  findService,
  findVip4,
  findVip6,
  HASH_5_TUPLE,
  HASH_DESTINATION_PORT,
  HASH_SOURCE,
  hashMode,
  portlessService,
  type Tables,
} from "../shm/forwarding-table.ts";
import { ICMP_OTHER, LOOP, NO_SERVICE } from "../shm/verdict.ts";
import { hashLong, hashShort } from "../steering/flow-hash.ts";
import { TCP } from "../wire/tcp.ts";
import { UDP } from "../wire/udp.ts";
import { createParsed, type Parsed } from "./parsed.ts";

/** The hash of a part of a flow, for services that want it. Of the one shape that hashing knows. */
const partial = createParsed();

/** VIP index of the packet's destination, from t.firstEgress on that of an egress IP, or -1. */
export const destinationVip = (t: Tables, p: Parsed): number =>
  p.version === 4 ? findVip4(t, p.destination) : findVip6(t, p.upper[3]!, p.upper[4]!, p.upper[5]!, p.destination);

/** Index of the service for the packet in hand, or a verdict negated. */
export function serviceOf(t: Tables, vip: number, p: Parsed): number {
  const protocol = p.kind & 0xff;
  if (p.icmpError) {
    vip = destinationVip(t, p);
    if (vip < 0 || vip >= t.firstEgress) return -ICMP_OTHER;
  }
  if (protocol !== TCP && protocol !== UDP) {
    const service = portlessService(t, vip);
    return service < 0 ? -NO_SERVICE : service;
  }
  const port = p.ports & 0xffff;
  if (protocol === UDP && port === t.guePort && isFromPeer(t, p)) return -LOOP;
  const service = findService(t, vip, protocol === UDP, port);
  return service < 0 ? -NO_SERVICE : service;
}

const isFromPeer = (t: Tables, p: Parsed): boolean =>
  findPeer(t, p.version, p.upper[0]!, p.upper[1]!, p.upper[2]!, p.source) >= 0;

/** Writes the hash of the whole flow. */
export function hashFlow(t: Tables, p: Parsed): void {
  if (p.version === 4) hashShort(p.source, p.destination, p.ports, p.kind, t.key0, t.key1, p);
  else hashLong(p.upper, p.source, p.destination, p.ports, p.kind, t.key0, t.key1, p);
}

/** Bucket of a flow that has been hashed, as the service wants it: by one of HASH_MODES. */
export function bucketFor(t: Tables, service: number, p: Parsed): number {
  const mode = hashMode(t, service);
  return bucketOf(t, mode === HASH_5_TUPLE ? p.hash : mode === HASH_DESTINATION_PORT ? portHash(t, p) : sourceHash(t, mode, p));
}

function sourceHash(t: Tables, mode: number, p: Parsed): number {
  partial.version = p.version;
  partial.source = p.source;
  for (let i = 0; i < 3; i++) partial.upper[i] = p.upper[i]!;
  partial.ports = mode === HASH_SOURCE ? 0 : p.ports & 0xffff0000;
  partial.kind = mode === HASH_SOURCE ? p.kind & 0xff00 : p.kind;
  hashFlow(t, partial);
  return partial.hash;
}

/**
 * The same for all that goes to a port, whatever its addresses, IP version and protocol. An echo request has no port: it goes by
 * 5-tuple, so that not all of them go to one host.
 */
function portHash(t: Tables, p: Parsed): number {
  const protocol = p.kind & 0xff;
  if (protocol !== TCP && protocol !== UDP) return p.hash;
  hashShort(0, 0, p.ports & 0xffff, 0, t.key0, t.key1, partial);
  return partial.hash;
}
