/**
 * The packet that most packets are: TCP of an established flow of another host, one whole packet with a final checksum that
 * fits the path. What it needs stands here once more, without the questions that only other packets raise: that takes a tenth
 * of the time away. Whatever does not fit is left, untouched, to the director's long way, which does the same to such a packet.
 */
import { countSent } from "../shm/counters.ts";
import { findFlowAt, flowCertain, flowHost, touchFlow } from "../shm/flow-table.ts";
import { findService, plainFamily, plainMtu, plainPath } from "../shm/forwarding-table.ts";
import { GUE_HEADER, writeGue } from "../wire/gue.ts";
import { type Context, roomForOne } from "./context.ts";
import { outerOverhead } from "./outer-overhead.ts";
import type { Parsed } from "./parsed.ts";
import { appendIov, appendMessage } from "./queue.ts";

/**
 * Sends a packet that was found to be PLAIN (see parsed.ts) to the host of its flow; `line` is the flow's first in the flow table. Returns
 * its service, for which the caller counts it; -1 when it has to go the long way.
 */
export function forwardPlain(context: Context, p: Parsed, line: number): number {
  const { memory: m, tables: t, toPeers: queue } = context;
  if (!m.directs || p.vip >= t.firstEgress) return -1;
  const service = findService(t, p.vip, false, p.ports & 0xffff);
  const entry = findFlowAt(m.flows, line, p.hash, p.hash2, m.now);
  if (service < 0 || entry < 0 || !flowCertain(m.flows, entry)) return -1;
  const host = flowHost(m.flows, entry);
  const path = plainPath(t, host);
  const family = plainFamily(path);
  const ip = p.ip;
  const length = (p.end - ip) | 0;
  const outer = (length + outerOverhead(family, GUE_HEADER)) | 0;
  if (outer > plainMtu(path) || !roomForOne(context)) return -1;
  touchFlow(m.flows, entry, m.now);
  const gue = (ip - GUE_HEADER) | 0;
  writeGue(context.bytes, gue, p.version);
  appendIov(queue, gue, length + GUE_HEADER);
  appendMessage(queue, t, host, family, p, 1, length + GUE_HEADER, 0);
  countSent(context.counters, host, 1, outer);
  return service;
}
