/** Which service, and which hash, a flow has. */
import {
  findPeer,
  findService,
  findVip4,
  findVip6,
  HASH_5_TUPLE,
  HASH_SOURCE,
  hashMode,
  portlessService,
  type Tables,
} from "../shm/forwarding-table.ts";
import { ICMP_OTHER, LOOP, NO_SERVICE } from "../shm/verdict.ts";
import { hashThree, hashWords } from "../steering/flow-hash.ts";
import { TCP } from "../wire/tcp.ts";
import { UDP } from "../wire/udp.ts";
import {
  P_DESTINATION0,
  P_DESTINATION3,
  P_HASH,
  P_ICMP_ERROR,
  P_META,
  P_PORTS,
  P_SOURCE0,
  P_SOURCE3,
  P_VERSION,
  PARSED_WORDS,
} from "./parsed.ts";

/** Words hashed for an IPv6 flow. */
const WORDS6 = P_META - P_SOURCE0;

const masked = new Int32Array(PARSED_WORDS);

/** VIP index of the packet's destination, or -1. */
export const destinationVip = (t: Tables, p: Int32Array): number =>
  p[P_VERSION] === 4
    ? findVip4(t, p[P_DESTINATION3]!)
    : findVip6(t, p[P_DESTINATION0]!, p[P_DESTINATION0 + 1]!, p[P_DESTINATION0 + 2]!, p[P_DESTINATION3]!);

/** Index of the service for the packet in hand, or a verdict negated. */
export function serviceOf(t: Tables, vip: number, p: Int32Array): number {
  const protocol = p[P_META]! & 0xff;
  if (p[P_ICMP_ERROR] !== 0) {
    vip = destinationVip(t, p);
    if (vip < 0) return -ICMP_OTHER;
  }
  if (protocol !== TCP && protocol !== UDP) {
    const service = portlessService(t, vip);
    return service < 0 ? -NO_SERVICE : service;
  }
  const port = p[P_PORTS]! & 0xffff;
  if (protocol === UDP && port === t.guePort && isFromPeer(t, p)) return -LOOP;
  const service = findService(t, vip, protocol === UDP, port);
  return service < 0 ? -NO_SERVICE : service;
}

const isFromPeer = (t: Tables, p: Int32Array): boolean =>
  findPeer(t, p[P_VERSION]!, p[P_SOURCE0]!, p[P_SOURCE0 + 1]!, p[P_SOURCE0 + 2]!, p[P_SOURCE3]!) >= 0;

/** Writes the flow hash as the service wants it: over the 5-tuple, the source address, or source address and port. */
export function hashFlow(t: Tables, service: number, p: Int32Array): void {
  const mode = hashMode(t, service);
  if (mode === HASH_5_TUPLE) hashFrom(t, p, p);
  else hashFrom(t, sourceOnly(mode, p), p);
}

/** The parts of a flow that a service wants hashed, the others 0. */
function sourceOnly(mode: number, p: Int32Array): Int32Array {
  masked.fill(0);
  for (let i = 0; i < 3; i++) masked[P_SOURCE0 + i] = p[P_SOURCE0 + i]!;
  masked[P_SOURCE3] = p[P_SOURCE3]!;
  masked[P_PORTS] = mode === HASH_SOURCE ? 0 : p[P_PORTS]! & 0xffff0000;
  masked[P_META] = mode === HASH_SOURCE ? p[P_META]! & 0xff00 : p[P_META]!;
  return masked;
}

function hashFrom(t: Tables, from: Int32Array, p: Int32Array): void {
  if (p[P_VERSION] === 4) {
    hashThree(from[P_SOURCE3]!, from[P_DESTINATION3]!, from[P_PORTS]!, from[P_META]!, t.key0, t.key1, p, P_HASH);
  } else hashWords(from, P_SOURCE0, WORDS6, from[P_META]!, t.key0, t.key1, p, P_HASH);
}
