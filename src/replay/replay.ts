/** A capture through a host's pipeline. */
import { type CapturedPacket, LINKTYPE_ETHERNET, LINKTYPE_SLL, LINKTYPE_SLL2 } from "../io/pcap.ts";
import type { TablesSpec } from "../shm/forwarding-table.ts";
import { RULE_DROPPED, RULE_STRIDE, type RuleSpec } from "../shm/rules.ts";
import { viewOf } from "../wire/bytes.ts";
import { ipInCooked, ipInCooked2, ipInEthernet } from "../wire/ethernet.ts";
import { OfflineHost, type Role } from "./offline-host.ts";

export interface ReplayResult {
  readonly packets: number;
  /** Count by verdict; each packet has exactly one. */
  readonly verdicts: Record<string, number>;
  /** Packets dropped by each drop rule. */
  readonly rules: Record<string, { readonly packets: number }>;
  /** Median over rounds, bursts of 128, drop rules included, without the sending. */
  readonly nsPerPacket: number;
  /** What leaves, raw IP, in order. */
  readonly out: readonly { readonly bytes: Uint8Array; readonly time: number; readonly verdict: string }[];
}

/** Time spent on measuring once the packets have gone through, ms. */
const MEASURE_MS = 100;

/** Runs captured packets through the pipeline of the host the tables are for. */
export function replay(
  spec: TablesSpec,
  role: Role,
  captured: Iterable<CapturedPacket>,
  measureMs = MEASURE_MS,
  drop: readonly RuleSpec[] = [],
): ReplayResult {
  const host = new OfflineHost(spec, role, { drop });
  const out: { bytes: Uint8Array; time: number; verdict: string }[] = [];
  const taken: Uint8Array[] = [];
  const times: number[] = [];
  let packets = 0;
  let noIp = 0;
  for (const packet of captured) {
    packets++;
    const ip = networkOffset(packet);
    if (ip < 0) {
      noIp++;
      continue;
    }
    const bytes = packet.bytes.subarray(ip);
    taken.push(bytes);
    times.push(packet.time / 1000);
    host.now = packet.time / 1000;
    const left = host.take(bytes);
    const verdict = host.lastVerdict();
    for (const one of left) out.push({ bytes: one, time: packet.time, verdict });
  }
  host.finish();
  const verdicts = host.verdicts();
  const rules = drop.map(({ name, slot }) => [name, { packets: host.ruleCounts[slot * RULE_STRIDE + RULE_DROPPED]! }] as const);
  if (noIp > 0) verdicts.not_ours = (verdicts.not_ours ?? 0) + noIp;
  return {
    packets,
    verdicts,
    nsPerPacket: Math.round(host.measure(taken, measureMs, times) * 10) / 10,
    out,
    rules: Object.fromEntries(rules),
  };
}

/** Offset of the IP header in a captured frame, -1 when it carries none. */
function networkOffset({ link, bytes }: CapturedPacket): number {
  const frame = viewOf(bytes);
  if (link === LINKTYPE_ETHERNET) return ipInEthernet(frame, 0, bytes.length);
  if (link === LINKTYPE_SLL) return ipInCooked(frame, 0, bytes.length);
  if (link === LINKTYPE_SLL2) return ipInCooked2(frame, 0, bytes.length);
  return 0;
}
