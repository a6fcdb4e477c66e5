/**
 * Soft-unicast: packets to a shared egress IP belong to the host whose slice their port is in. Nothing is remembered and no
 * chain is asked, so that every director gives the same answer at any time.
 *
 * Later fragments have no ports. They follow the host of their first fragment, like those to VIPs, and do not come here.
 */
import { sliceOwner, type Tables } from "../shm/forwarding-table.ts";
import { ICMP_OTHER, NO_SLICE } from "../shm/verdict.ts";
import { TCP } from "../wire/tcp.ts";
import { UDP } from "../wire/udp.ts";
import type { Context } from "./context.ts";
import { deliver } from "./deliver.ts";
import { sendAlong } from "./encap.ts";
import { destinationVip } from "./flow.ts";
import type { Parsed } from "./parsed.ts";

/**
 * Host id of the slice's owner for the packet in hand, or a verdict negated. `vip` is the index of its destination; an ICMP
 * error goes by the packet inside it, which must have come from the same IP.
 */
export function ownerOfSlice(t: Tables, vip: number, p: Parsed): number {
  if (p.icmpError && destinationVip(t, p) !== vip) return -ICMP_OTHER;
  const protocol = p.kind & 0xff;
  if (protocol !== TCP && protocol !== UDP) return -NO_SLICE;
  const owner = sliceOwner(t, vip, p.ports & 0xffff);
  return owner < 0 ? -NO_SLICE : owner;
}

/** Sends the packet in hand, for an egress IP and hashed, to the owner of its slice, or delivers it here. Returns the verdict. */
export function directSlice(context: Context, vip: number, gsoType: number): number {
  const { tables: t, parsed: p } = context;
  const owner = ownerOfSlice(t, vip, p);
  if (owner < 0) return -owner;
  if (owner === t.self) return deliver(context, gsoType);
  const chain = context.chain;
  chain.first = owner;
  chain.count = 0;
  return sendAlong(context, chain);
}
