/**
 * What comes back to probes through the tunnel. It comes from a VIP, which this host has too: its kernel takes such packets for forged and
 * drops them (IPv4), or knows no connection they belong to (IPv6). An AF_PACKET socket has a copy of them, whatever device they come by.
 */
import { assemble, type Item } from "../bpf/assemble.ts";
import {
  encodeProgram,
  JUMP_AT_LEAST,
  JUMP_BITS,
  JUMP_EQUAL,
  LD_BYTE,
  LD_HALF,
  LD_HALF_AT_X,
  LD_WORD,
  LDX_HEADER,
  LDX_IMMEDIATE,
  RETURN,
} from "../bpf/program.ts";
import type { Address } from "../wire/address.ts";
import { ECHO_REPLY, ECHO_REPLY6, ICMP, ICMPV6, UNREACHABLE, UNREACHABLE6 } from "../wire/icmp.ts";
import { TCP } from "../wire/tcp.ts";
import { type Native, type NativeHandle, native } from "./native.ts";
import { HEADROOM, RX_FLAGS, RX_LENGTH, RX_OFFSET, RX_STRIDE, RX_TRUNCATED } from "./packet-io.ts";

/** SKF_AD_OFF + SKF_AD_PROTOCOL: the EtherType. */
const FRAME_PROTOCOL = 0xfffff000;
const ETHERTYPE = { 4: 0x0800, 6: 0x86dd } as const;
const FRAGMENT_OFFSET = 0x1fff;
const ALL_BYTES = 0x40000;

/** Both ends belong to it. */
export interface ProbePorts {
  readonly from: number;
  readonly to: number;
}

const load = (code: number, k: number): Item => ({ code, k });
const when = (code: number, k: number, yes: string | null, no: string | null): Item => ({ code, k, yes, no });
const result = (k: number): Item => ({ code: RETURN, k });

/** Packets to one of our addresses; X is to hold where the layer above begins. */
function ofFamily({ family, words }: Address): Item[] {
  const name = `IPv${family}`;
  const to = family === 4 ? [words[3]] : words;
  const at = family === 4 ? 16 : 24;
  const [protocol, icmp, reply, unreachable] =
    family === 4 ? [9, ICMP, ECHO_REPLY, UNREACHABLE] : [6, ICMPV6, ECHO_REPLY6, UNREACHABLE6];
  const whole = family === 4 ? [load(LD_HALF, 6), when(JUMP_BITS, FRAGMENT_OFFSET, "no", null)] : [];
  return [
    { label: name },
    ...to.flatMap((word, i) => [load(LD_WORD, at + 4 * i), when(JUMP_EQUAL, word, null, "no")]),
    ...whole,
    family === 4 ? load(LDX_HEADER, 0) : load(LDX_IMMEDIATE, 40),
    load(LD_BYTE, protocol),
    when(JUMP_EQUAL, TCP, `${name} TCP`, null),
    when(JUMP_EQUAL, icmp, null, "no"),
    load(LD_HALF_AT_X, 0),
    when(JUMP_EQUAL, reply << 8, `${name} echo`, null),
    // Any code of it: a firewall has many words for no.
    when(JUMP_AT_LEAST, (unreachable + 1) << 8, "no", null),
    when(JUMP_AT_LEAST, unreachable << 8, "yes", "no"),
    { label: `${name} TCP` },
    load(LD_HALF_AT_X, 2),
    { go: "port" },
    { label: `${name} echo` },
    load(LD_HALF_AT_X, 4),
    { go: "port" },
  ];
}

/**
 * The filter for what may be an answer to a probe from one of `addresses`, at most one of a family: TCP to one of the ports, echo replies
 * with one of them as identifier, and messages that something cannot be reached.
 */
export function replyFilter(addresses: readonly Address[], { from, to }: ProbePorts): Uint8Array {
  const known = addresses.flatMap(({ family }): Item[] => [when(JUMP_EQUAL, ETHERTYPE[family], `IPv${family}`, null)]);
  const program: Item[] = [
    load(LD_WORD, FRAME_PROTOCOL),
    ...known,
    { go: "no" },
    ...addresses.flatMap(ofFamily),
    { label: "port" },
    when(JUMP_AT_LEAST, to + 1, "no", null),
    when(JUMP_AT_LEAST, from, "yes", "no"),
    { label: "yes" },
    result(ALL_BYTES),
    { label: "no" },
    result(0),
  ];
  return encodeProgram(assemble(program));
}

const SLOTS = 32;
/** More than the window of a probe lets come at a time. */
const SLOT = HEADROOM + 16_384 + 64;
const RECEIVE_BUFFER = 1 << 20;

export class ReplySocket {
  readonly #fd: number;
  readonly #pool = new Uint8Array(SLOTS * SLOT);
  readonly #records = new Int32Array(SLOTS * RX_STRIDE);
  readonly #receiver: NativeHandle;
  readonly #native: Native;

  /** Throws a NativeError, as without CAP_NET_RAW. */
  constructor(filter: Uint8Array) {
    this.#native = native();
    this.#fd = this.#native.openReplySocket(RECEIVE_BUFFER, filter);
    this.#receiver = this.#native.createReceiver("reply", this.#fd, this.#pool, 0, SLOT, SLOTS, this.#records);
  }

  /** Gives each packet that waits, from its IP header on; it is gone when `take` returns. Returns how many there were. */
  receive(take: (packet: Uint8Array) => void): number {
    const count = this.#native.receive(this.#receiver);
    for (let i = 0; i < count; i++) {
      const r = i * RX_STRIDE;
      if ((this.#records[r + RX_FLAGS]! & RX_TRUNCATED) !== 0) continue;
      const offset = this.#records[r + RX_OFFSET]!;
      take(this.#pool.subarray(offset, offset + this.#records[r + RX_LENGTH]!));
    }
    return count;
  }

  close(): void {
    this.#native.close(this.#fd);
  }
}
