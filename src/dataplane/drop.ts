/**
 * Drop rules in user space: in front of the director, over a whole burst. The first rule that matches a packet decides: it is dropped, or, by
 * a rule with a limit, passes while there are tokens. What the kernel has dropped does not come here, but for samples of it.
 */

import { decodeProgram } from "../bpf/program.ts";
import { type Filter, translate } from "../bpf/translate.ts";
import type { LinkType, RxBurst } from "../io/packet-io.ts";
import { GSO_NONE, LINK_ETHERNET, RX_GSO_TYPE, RX_LENGTH, RX_OFFSET, RX_STRIDE } from "../io/packet-io.ts";
import { counterAt, countVerdict } from "../shm/counters.ts";
import { findVip4, findVip6, type Tables } from "../shm/forwarding-table.ts";
import { RULE_DROPPED, RULE_DROPPED_BYTES, RULE_PASSED, RULE_PASSED_BYTES, RULE_STRIDE, type RuleSpec } from "../shm/rules.ts";
import type { SampleRing } from "../shm/sample-ring.ts";
import { DROP_RULE, OK, RATE_LIMITED, VERDICT_NAMES } from "../shm/verdict.ts";
import { ETHERNET_HEADER, ipInEthernet } from "../wire/ethernet.ts";
import { IPV4_DESTINATION, IPV4_HEADER, IPV4_SOURCE } from "../wire/ipv4.ts";
import { IPV6_DESTINATION, IPV6_HEADER, IPV6_SOURCE } from "../wire/ipv6.ts";
import type { Context } from "./context.ts";
import { direct } from "./director.ts";
import type { TokenBuckets } from "./token-buckets.ts";
import { beginLook, endLook, type WirePacket } from "./wire-packet.ts";

const FRAMES = counterAt("uplinkFrames");
const PACKETS = counterAt("uplinkPackets");
const BYTES = counterAt("uplinkBytes");

interface Rule {
  readonly spec: RuleSpec;
  readonly matches: Filter;
  readonly pps: number;
  readonly bps: number;
  /** Nothing that matches comes here, but in frames that the kernel could not judge. */
  readonly kernelOnly: boolean;
  /** Matching packets until the next sample; 0: no samples. */
  countdown: number;
}

/** `length` bytes of prefix in word `i` of an address. */
function maskOf(bits: number, i: number): number {
  const n = bits - 32 * i;
  return n >= 32 ? -1 : n <= 0 ? 0 : -1 << (32 - n);
}

/** The rules of one generation, for one worker. */
export class DropRules {
  readonly #rules: readonly Rule[];
  readonly #counts: Float64Array;
  readonly #ring: SampleRing | null;
  readonly #buckets: TokenBuckets;
  readonly #verdictsBefore = new Float64Array(VERDICT_NAMES.length);
  /** Set by who runs the burst, one look at the clocks for all of it: ms of the clock of shared memory, and since the epoch. */
  readonly now = new Float64Array(1);
  readonly wall = new Float64Array(1);
  /** Of the frame judged last: what it is on the wire, and the rule it is to be a sample of (-1: none). */
  readonly #wire: WirePacket = { packets: 1, length: 0, bytes: 0 };
  #sampled = -1;

  /** Translates the rules. `counts` is the worker's block of rule counters. Throws a RangeError when a program is not valid. */
  constructor(specs: readonly RuleSpec[], counts: Float64Array, ring: SampleRing | null, buckets: TokenBuckets) {
    this.#rules = specs.map((spec) => ({
      spec,
      matches: translate(decodeProgram(spec.program)),
      pps: spec.limit?.pps ?? Number.POSITIVE_INFINITY,
      bps: spec.limit?.bps ?? Number.POSITIVE_INFINITY,
      kernelOnly: spec.inKernel && spec.sample === null,
      countdown: spec.sample ?? 0,
    }));
    this.#counts = counts;
    this.#ring = ring;
    this.#buckets = buckets;
  }

  /** Judges a burst from the uplink and steers what is left of it. */
  direct(context: Context, burst: RxBurst, link: LinkType): void {
    const { counters, bytes: b } = context;
    const { records } = burst;
    const all = burst.count;
    const linkHeader = link === LINK_ETHERNET ? ETHERNET_HEADER : 0;
    const gone = { frames: 0, packets: 0, bytes: 0 };
    let kept = 0;
    let steered = 0;
    for (let i = 0; i < all; i++) {
      const r = i * RX_STRIDE;
      const offset = records[r + RX_OFFSET]!;
      const frameLength = records[r + RX_LENGTH]!;
      let ip = link === LINK_ETHERNET ? ipInEthernet(b, offset, frameLength) : offset;
      const kernelSaw = ip - offset === linkHeader;
      let verdict = OK;
      if (ip >= 0 && records[r + RX_GSO_TYPE] !== GSO_NONE) {
        ip = beginLook(b, records, r, ip, this.#wire);
        verdict = this.#judge(context.tables, b, ip, kernelSaw);
        endLook(b);
      } else if (ip >= 0) {
        this.#wire.packets = 1;
        this.#wire.length = offset + frameLength - ip;
        this.#wire.bytes = this.#wire.length;
        verdict = this.#judge(context.tables, b, ip, kernelSaw);
      }
      const length = records[r + RX_OFFSET]! + records[r + RX_LENGTH]! - ip;
      const sampled = ip < 0 ? -1 : this.#sampled;
      if (verdict !== OK) {
        countVerdict(counters, verdict, this.#wire.packets);
        gone.frames++;
        gone.packets += this.#wire.packets;
        gone.bytes += frameLength;
        if (sampled >= 0) this.#sample(b, ip, length, verdict, sampled);
        continue;
      }
      if (kept !== i) records.copyWithin(kept * RX_STRIDE, r, r + RX_STRIDE);
      kept++;
      if (sampled < 0) continue;
      // Its verdict is seen by steering it alone, in its turn.
      steer(context, records, steered, kept - 1, link);
      for (let v = 0; v < this.#verdictsBefore.length; v++) this.#verdictsBefore[v] = counters[v]!;
      steer(context, records, kept - 1, kept, link);
      const changed = this.#verdictsBefore.findIndex((count, v) => counters[v] !== count);
      this.#sample(b, ip, length, Math.max(changed, OK), sampled);
      steered = kept;
    }
    counters[FRAMES] = counters[FRAMES]! + gone.frames;
    counters[PACKETS] = counters[PACKETS]! + gone.packets;
    counters[BYTES] = counters[BYTES]! + gone.bytes;
    burst.count = kept;
    if (steered === 0) direct(context, burst, link);
    else steer(context, records, steered, kept, link);
  }

  /** Verdict of the first rule that matches, OK when none does or it lets the packet pass. Sets #sampled. */
  #judge(t: Tables, b: DataView, ip: number, kernelSaw: boolean): number {
    const length = this.#wire.length;
    this.#sampled = -1;
    const rules = this.#rules;
    for (let i = 0; i < rules.length; i++) {
      const rule = rules[i]!;
      // What the kernel would have dropped is not here: traffic that matches no rule does not pay for those twice.
      if (kernelSaw && rule.kernelOnly) continue;
      if (rule.matches(b, ip, length) === 0) continue;
      return isForUs(t, b, ip, length) ? this.#decide(rule, i, b, ip, kernelSaw) : OK;
    }
    return OK;
  }

  #decide(rule: Rule, i: number, b: DataView, ip: number, frameSeen: boolean): number {
    const { spec } = rule;
    const { packets, bytes } = this.#wire;
    // What the kernel judged and let through is a sample of its own choice, and counted there.
    const kernelSaw = spec.inKernel && frameSeen;
    if (kernelSaw) this.#sampled = spec.sample === null ? -1 : i;
    else if (spec.sample !== null && --rule.countdown <= 0) {
      rule.countdown = spec.sample;
      this.#sampled = i;
    }
    const passes = spec.limit !== null && this.#takeTokens(rule, b, ip, bytes, packets);
    const at = spec.slot * RULE_STRIDE + (passes ? RULE_PASSED : RULE_DROPPED);
    if (kernelSaw) return DROP_RULE;
    this.#counts[at] = this.#counts[at]! + packets;
    const bytesAt = spec.slot * RULE_STRIDE + (passes ? RULE_PASSED_BYTES : RULE_DROPPED_BYTES);
    this.#counts[bytesAt] = this.#counts[bytesAt]! + bytes;
    return passes ? OK : spec.limit === null ? DROP_RULE : RATE_LIMITED;
  }

  #takeTokens(rule: Rule, b: DataView, ip: number, bytes: number, packets: number): boolean {
    const { slot, limit } = rule.spec;
    const { key } = this.#buckets;
    const isV4 = b.getUint8(ip) >>> 4 === 4;
    key[0] = (slot << 8) | (isV4 ? 4 : 6);
    key[1] = isV4
      ? b.getInt32(ip + IPV4_SOURCE) & maskOf(limit!.prefix4, 0)
      : b.getInt32(ip + IPV6_SOURCE) & maskOf(limit!.prefix6, 0);
    for (let i = 1; i < 4; i++) key[1 + i] = isV4 ? 0 : b.getInt32(ip + IPV6_SOURCE + 4 * i) & maskOf(limit!.prefix6, i);
    // Without a prefix both families are one.
    if (limit!.prefix4 === 0 && limit!.prefix6 === 0) key[0] = slot << 8;
    return this.#buckets.take(this.now[0]!, packets, bytes * 8, rule.pps, rule.bps);
  }

  #sample(b: DataView, ip: number, length: number, verdict: number, rule: number): void {
    this.#ring?.write(b, ip, length, verdict, this.#rules[rule]!.spec.slot, this.wall[0]!);
  }
}

/** Steers the records from `from` to `to` of a burst. */
function steer(context: Context, records: Int32Array, from: number, to: number, link: LinkType): void {
  if (from === to) return;
  direct(context, { records: records.subarray(from * RX_STRIDE, to * RX_STRIDE), count: to - from }, link);
}

/** Whether the packet is for a VIP or an egress IP, as the kernel's filter has it: others are not counted as dropped. */
function isForUs(t: Tables, b: DataView, ip: number, length: number): boolean {
  const version = length > 0 ? b.getUint8(ip) >>> 4 : 0;
  if (version === 4) return length >= IPV4_HEADER && findVip4(t, b.getInt32(ip + IPV4_DESTINATION)) >= 0;
  if (version !== 6 || length < IPV6_HEADER) return false;
  const at = ip + IPV6_DESTINATION;
  return findVip6(t, b.getInt32(at), b.getInt32(at + 4), b.getInt32(at + 8), b.getInt32(at + 12)) >= 0;
}
