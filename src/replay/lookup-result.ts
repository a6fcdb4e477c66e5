/** The answer to a look-up: what `hafl lookup --json` prints. */
import type { HASH_MODES } from "../shm/forwarding-table.ts";
import type { RateLimit } from "../shm/rules.ts";
import type { VerdictName } from "../shm/verdict.ts";
import type { HopOrigin } from "../steering/explain.ts";
import type { Answer } from "./asked-host.ts";

/** A host that a flow may belong to. */
export interface Hop {
  readonly host: string;
  /** The pool's generation by which it is in the chain; null when no generation is known to say so: see `why`. */
  readonly generation: number | null;
  /** When that became the newest, ISO 8601, and seconds since. */
  readonly since: string | null;
  readonly age: number | null;
  readonly why: HopOrigin["why"] | "flow table" | "server id" | "owns the slice" | null;
  /** When it leaves the chains, ISO 8601; null: not by time. */
  readonly until: string | null;
  /** Largest outer packet from the host asked to this one, bytes; null when unknown, and for itself. */
  readonly mtu: number | null;
}

export interface LookupResult {
  readonly service: string | null;
  readonly bucket: number | null;
  /** What the bucket was chosen by: one of HASH_MODES. */
  readonly hash: (typeof HASH_MODES)[number] | null;
  /** Hosts that may own the flow, first hop first. */
  readonly chain: readonly string[];
  /** The first hop. */
  readonly host: string | null;
  readonly verdict: VerdictName;
  /** The verdict in words. */
  readonly why: string;
  /** The host that was asked, and the packet it was asked about. */
  readonly director: string;
  readonly packet: string;
  /** The rule that the packet meets first, and what it does; null when none matches. */
  readonly drop: {
    readonly rule: string;
    readonly passes: boolean;
    readonly limit: RateLimit | null;
    readonly sample: number | null;
    /** Whether the kernel does it, before the packet reaches user space. */
    readonly inKernel: boolean;
  } | null;
  /** How many rules there are. */
  readonly rules: number;
  /** What the flow table has of it; null when it has nothing, or was not looked into. */
  readonly entry: { readonly host: string; readonly certain: boolean; readonly idleSeconds: number } | null;
  /** For a flow to an egress IP the slice that its port is in, whoever owns it. */
  readonly slice: { readonly ip: string; readonly number: number; readonly from: number; readonly to: number } | null;
  /** For a service that reads server ids: whether the packet has one, and whose they are. */
  readonly quic: { readonly byServerId: boolean; readonly servers: Readonly<Record<string, string>> } | null;
  /** All hosts of the bucket, also where the flow table or a server id leaves them out of the chain. */
  readonly bucketHosts: readonly string[];
  /** The hosts of `chain`, and where each comes from. */
  readonly hops: readonly Hop[];
  /** Whether the kernel of the host asked, itself the first hop, has a socket for the flow; null when that did not matter. */
  readonly socket: Answer["socket"];
  /** How the packet leaves for another host; null when it does not. */
  readonly sent: { readonly to: string; readonly furtherHops: readonly string[]; readonly overhead: number } | null;
  /** UDP source port of its GUE packets, by which it is found in captures between hosts. */
  readonly sourcePort: number | null;
  /** Largest outer packet to the host it is sent to, and largest inner one with these further hops, bytes; null when unknown. */
  readonly pathMtu: number | null;
  readonly largest: number | null;
}
