/**
 * The client's side of a TCP connection, as much of it as a probe needs, without the kernel.
 *
 *     half-open    SYN ->           <- SYN, ACK    RST ->
 *     with words   SYN ->           <- SYN, ACK    ACK, request ->    <- data    ACK -> ...    RST ->
 *
 * What is lost is sent again; what comes twice or out of order is acknowledged and not looked at. In the end the connection is reset: the
 * other side is to keep nothing of it.
 */
import { ACK, FIN, PSH, RST, SYN } from "../wire/tcp.ts";
import { FINE, type Finding, failed } from "./finding.ts";
import type { HttpAnswer } from "./http-answer.ts";
import type { Segment } from "./probe-packet.ts";

const NOTHING = new Uint8Array(0);
const add = (sequence: number, n: number): number => (sequence + n) >>> 0;

export interface Words {
  readonly request: Uint8Array;
  readonly answer: HttpAnswer;
}

export class TcpDialogue {
  readonly #name: string;
  readonly #words: Words | null;
  /** Our next byte, and the other side's. */
  #sequence: number;
  #expected = 0;
  #connected = false;
  /** What is sent again until the other side moves on. */
  #pending: Segment;
  #finding: Finding | null = null;

  /** With what is called `name` in findings. `first` is our initial sequence number; without words the connection is not completed. */
  constructor(name: string, first: number, words: Words | null) {
    this.#name = name;
    this.#words = words;
    this.#pending = { flags: SYN, sequence: first, acknowledgment: 0, payload: NOTHING };
    this.#sequence = add(first, 1);
  }

  /** What the probe found; null while it is not clear. */
  get finding(): Finding | null {
    return this.#finding;
  }

  /** What is to be sent first, and again when nothing comes. */
  get pending(): Segment {
    return this.#pending;
  }

  /** Takes what came, and gives what is to be sent in return. */
  take(segment: Segment): Segment[] {
    if (this.#finding !== null) return [];
    return this.#connected ? this.#listen(segment) : this.#connect(segment);
  }

  /** What is to be sent when nobody waits for the rest, so that the other side forgets it. */
  giveUp(): Segment[] {
    return this.#connected && this.#finding === null ? [this.#reset()] : [];
  }

  /** Why the time has run out. */
  late(within: string): Finding | null {
    return this.#connected ? failed("slow", `connected, but no answer ${within}`) : null;
  }

  #connect({ flags, sequence, acknowledgment }: Segment): Segment[] {
    if (acknowledgment !== this.#sequence || (flags & ACK) === 0) {
      // Of a connection long gone, that the other side still has: it is to forget it, and take our next SYN.
      const stray = (flags & (ACK | RST | SYN)) === ACK;
      return stray ? [{ flags: RST, sequence: acknowledgment, acknowledgment: 0, payload: NOTHING }] : [];
    }
    if ((flags & RST) !== 0) return this.#decide(failed("refused", `nothing listens on ${this.#name}`));
    if ((flags & SYN) === 0) return [];
    this.#expected = add(sequence, 1);
    if (this.#words === null) {
      this.#finding = FINE;
      return [this.#reset()];
    }
    this.#connected = true;
    const { request } = this.#words;
    this.#pending = { flags: ACK | PSH, sequence: this.#sequence, acknowledgment: this.#expected, payload: request };
    this.#sequence = add(this.#sequence, request.length);
    return [this.#pending];
  }

  #listen({ flags, sequence, payload }: Segment): Segment[] {
    if ((flags & SYN) !== 0) return [this.#pending];
    if (sequence !== this.#expected) {
      // What we have in part, or not yet: only what begins where we are counts.
      const known = (this.#expected - sequence) >>> 0;
      if (known >= payload.length || known === 0) return (flags & RST) !== 0 ? [] : [this.#acknowledge()];
      return this.#listen({ flags, sequence: this.#expected, acknowledgment: 0, payload: payload.subarray(known) });
    }
    if ((flags & RST) !== 0) return this.#decide(failed("broken", `${this.#name} broke the connection off`));
    if (payload.length === 0 && (flags & FIN) === 0) return [];
    this.#expected = add(this.#expected, payload.length);
    const { answer } = this.#words!;
    const finding = (payload.length > 0 ? answer.take(payload) : null) ?? ((flags & FIN) === 0 ? null : answer.end());
    if (finding !== null) return [...this.#decide(finding), this.#reset()];
    this.#pending = this.#acknowledge();
    return [this.#pending];
  }

  #decide(finding: Finding): Segment[] {
    this.#finding = finding;
    return [];
  }

  #acknowledge(): Segment {
    return { flags: ACK, sequence: this.#sequence, acknowledgment: this.#expected, payload: NOTHING };
  }

  #reset(): Segment {
    return { flags: RST | ACK, sequence: this.#sequence, acknowledgment: this.#expected, payload: NOTHING };
  }
}
