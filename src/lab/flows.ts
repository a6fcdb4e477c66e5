/** What a lab's client is asked to send, and what it reports: one flow a request. */
import type { Flow } from "../steering/flow.ts";
import { parseAddress } from "../wire/address.ts";
import type { Family } from "./topology.ts";

/** Requests of one kind from one client. */
export interface LoadJob {
  readonly protocol: "tcp" | "udp";
  readonly family: Family;
  /** Address and port asked: HTTP GET / for tcp, an echo for udp. */
  readonly target: string;
  readonly targetPort: number;
  readonly source: string;
  /** Request i is sent from firstPort + i % ports. */
  readonly firstPort: number;
  readonly ports: number;
  /** Requests in all; null: until told to stop. */
  readonly count: number | null;
  /** Requests under way at the same time. */
  readonly concurrency: number;
  readonly timeoutMs: number;
}

export interface FlowResult {
  readonly protocol: "tcp" | "udp";
  readonly source: string;
  readonly sourcePort: number;
  readonly target: string;
  readonly targetPort: number;
  /** The host named in the reply; null when there was none. */
  readonly host: string | null;
  /** Why there was none. */
  readonly error: string | null;
  /** Milliseconds since 1970, and from there to the reply. */
  readonly startedAt: number;
  readonly took: number;
}

/** The flow of a request. */
export function flowOf(r: FlowResult): Flow {
  return {
    protocol: r.protocol,
    source: parseAddress(r.source)!,
    sourcePort: r.sourcePort,
    destination: parseAddress(r.target)!,
    destinationPort: r.targetPort,
  };
}
