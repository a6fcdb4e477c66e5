/** What a churn client is asked to keep up, and what it says about it. */
import type { Family } from "./topology.ts";

/** Port of the churn server, TCP and UDP. */
export const CHURN_PORT = 9000;
/** A message is sent so often, ms. */
export const MESSAGE_MS = 100;

/** A place for a session: when one breaks, another takes the place, from another port. */
export interface Place {
  readonly protocol: "tcp" | "udp";
  readonly family: Family;
  readonly target: string;
  readonly source: string;
  /** The first session's source port; those after it are `step` apart. */
  readonly port: number;
  readonly step: number;
  /** How long a session lasts that nothing breaks, ms; null: to the end. */
  readonly lifeMs: number | null;
}

/** A line of a client: a session has begun, has ended in order or before its time, or could not be begun. Times are ms since 1970. */
export type SessionEvent =
  | { readonly event: "open"; readonly session: string; readonly host: string; readonly at: number }
  | { readonly event: "closed"; readonly session: string }
  | { readonly event: "broken"; readonly session: string; readonly why: string; readonly at: number }
  | { readonly event: "failed"; readonly session: string; readonly why: string; readonly at: number }
  /** The last line: messages that were answered, datagrams that were sent, and those of them that were not answered. */
  | { readonly event: "end"; readonly answered: number; readonly datagrams: number; readonly lost: number };

/** A session's protocol, by its name. */
export const protocolOf = (session: string): "tcp" | "udp" => (session.startsWith("tcp") ? "tcp" : "udp");
