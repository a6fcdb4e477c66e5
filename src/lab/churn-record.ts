/** The record of a churn: which sessions there were, whose they were, what broke and whether it had a right to. Pure. */
import type { HostState } from "./churn-plan.ts";
import { protocolOf, type SessionEvent } from "./churn-session.ts";

/** Why a session may break: its host went down, or its drain time was over. What has no such reason is a fault. */
export type Excuse = "down" | "drained";

export interface Break {
  readonly session: string;
  readonly host: string;
  readonly opened: number;
  readonly at: number;
  readonly why: string;
  /** null: the host stayed; "early": it was draining, and its time not over. */
  readonly excuse: Excuse | "early" | null;
}

/** What became of the sessions of a protocol. */
export interface Outcome {
  readonly opened: number;
  /** Broken, though the host stayed. */
  readonly staying: number;
  /** Broken, the host draining and its time not over. */
  readonly early: number;
  readonly drained: number;
  readonly down: number;
  readonly failedToOpen: number;
}

interface Turn {
  readonly at: number;
  readonly state: HostState;
}

export class ChurnRecord {
  readonly breaks: Break[] = [];
  readonly failed: { session: string; why: string; at: number }[] = [];
  readonly #drainMs: number;
  readonly #open = new Map<string, { host: string; at: number }>();
  readonly #turns = new Map<string, Turn[]>();
  readonly #opened = { tcp: 0, udp: 0 };
  answered = 0;
  datagrams = 0;
  lost = 0;

  constructor(drainSeconds: number) {
    this.#drainMs = drainSeconds * 1000;
  }

  /** Notes that a host's state is another from now on, ms since 1970. */
  turn(host: string, state: HostState, at: number): void {
    this.#turns.set(host, [...(this.#turns.get(host) ?? []), { at, state }]);
  }

  take(event: SessionEvent): void {
    switch (event.event) {
      case "open":
        this.#opened[protocolOf(event.session)]++;
        this.#open.set(event.session, { host: event.host, at: event.at });
        break;
      case "closed":
        this.#open.delete(event.session);
        break;
      case "failed":
        this.failed.push({ session: event.session, why: event.why, at: event.at });
        break;
      case "end":
        this.answered += event.answered;
        this.datagrams += event.datagrams;
        this.lost += event.lost;
        break;
      case "broken": {
        const { host, at: opened } = this.#open.get(event.session)!;
        this.#open.delete(event.session);
        const { session, at, why } = event;
        this.breaks.push({ session, host, opened, at, why, excuse: this.#excuse(host, opened, at) });
      }
    }
  }

  get opened(): number {
    return this.#opened.tcp + this.#opened.udp;
  }

  outcome(protocol: "tcp" | "udp"): Outcome {
    const broken = (excuse: Break["excuse"]): number =>
      this.breaks.filter((b) => b.excuse === excuse && protocolOf(b.session) === protocol).length;
    return {
      opened: this.#opened[protocol],
      staying: broken(null),
      early: broken("early"),
      drained: broken("drained"),
      down: broken("down"),
      failedToOpen: this.failed.filter(({ session }) => protocolOf(session) === protocol).length,
    };
  }

  /** Sessions that are open now, of a host or of all. */
  openOn(host?: string): string[] {
    return [...this.#open].flatMap(([session, s]) => (host === undefined || s.host === host ? [session] : []));
  }

  /** Whether the session is open, or has ended in order. */
  isWhole(session: string): boolean {
    return this.breaks.every((b) => b.session !== session);
  }

  /** The session's life against the life of its host. */
  #excuse(host: string, opened: number, at: number): Break["excuse"] {
    let early = false;
    for (const [i, turn] of (this.#turns.get(host) ?? []).entries()) {
      const until = this.#turns.get(host)![i + 1]?.at ?? Number.POSITIVE_INFINITY;
      if (turn.state === "active" || until <= opened || turn.at > at) continue;
      if (turn.state === "down") return "down";
      if (at >= turn.at + this.#drainMs) return "drained";
      early = true;
    }
    return early ? "early" : null;
  }
}
