/**
 * Probes of other hosts through the tunnel. What a probe sends goes in GUE from our DIP to the host's, as from any director, so that the
 * host's peer check, decapsulation, TUN, VIP and service are what is probed. The answer comes from the VIP straight back to our DIP, and is
 * caught before our own kernel drops it (reply-socket.ts).
 *
 * The main thread looks for answers while probes are under way, and only then: a thread of its own that blocks on the socket would cost
 * 12 MB and a message each way, to be earlier by a millisecond or two.
 */
import { randomBytes } from "node:crypto";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { connect } from "node:net";
import type { ServiceHealth } from "../control/config-health.ts";
import { type ProbePorts, ReplySocket, replyFilter } from "../io/reply-socket.ts";
import { type Address, formatAddress } from "../wire/address.ts";
import { authority } from "./check-tcp.ts";
import { FINE, type Finding, failed, GIVEN_UP } from "./finding.ts";
import { HttpAnswer, requestFor } from "./http-answer.ts";
import { type Ends, echoDatagram, type Reply, readReply, type Segment, tcpDatagram } from "./probe-packet.ts";
import { TcpDialogue } from "./tcp-dialogue.ts";

export interface Target {
  /** Addresses of the host; it is reached by the first of a family that we have too. */
  readonly dips: readonly Address[];
  readonly vip: Address;
  readonly health: ServiceHealth;
}

/** How long after the last packet the next look for answers is, ms: at first, and at most. */
const LOOK_MS = 1;
const LOOK_MOST_MS = 16;
/** After how long without an answer a packet is sent again, ms; then after twice as long. */
const AGAIN_MS = 200;
/** How long a host may take to say anything at all outside of the tunnel. */
const REACH_MS = 500;
/** The kernel of a host sends one message a second that a port is closed. One of the last so many ms counts for all probes. */
const REFUSED_MS = 3000;

/** A probe under way. */
interface Exchange {
  readonly vip: Address;
  readonly peer: Peer;
  take(reply: Reply): void;
  refused(): void;
  giveUp(): void;
}

/** Whether a host answers outside of the tunnel: a question under way. */
interface Question {
  readonly answer: Promise<boolean>;
  end(answers: boolean): void;
}

/** Our socket towards the GUE port of a host. */
interface Peer {
  readonly host: string;
  readonly socket: Socket;
  /** When its kernel last said that nothing listens there; ms of performance.now(). */
  refusedAt: number;
}

export class ProbeTunnel {
  readonly #dips: readonly Address[];
  readonly #guePort: number;
  readonly #ports: ProbePorts;
  readonly #replies: ReplySocket;
  readonly #peers = new Map<string, Promise<Peer>>();
  readonly #exchanges = new Map<number, Exchange>();
  readonly #reach = new Map<string, Question>();
  #port: number;
  #timer: NodeJS.Timeout | undefined;
  #wait = LOOK_MS;
  #closed = false;

  /** For probes from our `dips`. Throws a NativeError without CAP_NET_RAW. */
  constructor(dips: readonly Address[], guePort: number, ports: ProbePorts) {
    this.#dips = dips;
    this.#guePort = guePort;
    this.#ports = ports;
    this.#replies = new ReplySocket(replyFilter(dips, ports));
    // Who begins anew does not begin with the ports used last.
    this.#port = ports.from + (randomBytes(4).readUInt32LE() % (ports.to - ports.from + 1));
  }

  /** Whether VIPs of a family can be probed: the answer has to have an address of ours to go to. */
  canProbe = (family: 4 | 6): boolean => this.#dips.some((dip) => dip.family === family);

  /** Probes a VIP on a host once. Resolves in time; does not reject. */
  async probe(target: Target): Promise<Finding> {
    const { vip, health } = target;
    const outer = target.dips.find((dip) => this.canProbe(dip.family));
    const self = this.#dips.find((dip) => dip.family === vip.family);
    const from = this.#nextPort();
    if (outer === undefined || self === undefined || from === null)
      return failed("unreachable", "it has no address in common with the prober");
    const local = this.#dips.find((dip) => dip.family === outer.family)!;
    const host = formatAddress(outer);
    let peer: Peer;
    try {
      peer = await this.#peer(host, local);
    } catch (error) {
      return failed("unreachable", `${host} cannot be sent to: ${(error as NodeJS.ErrnoException).code}`);
    }
    const ends = { self, vip, from, to: health.port ?? 0 };
    const finding = await (health.tunnel === "echo" ? this.#echo(peer, ends, health) : this.#talk(peer, ends, health));
    return finding ?? this.#explainSilence(peer, local, target);
  }

  /** Gives up what is under way: nobody is to wait for it. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    for (const exchange of [...this.#exchanges.values()]) exchange.giveUp();
    for (const question of [...this.#reach.values()]) question.end(false);
    this.#replies.close();
    for (const peer of this.#peers.values()) peer.then(({ socket }) => socket.close()).catch(() => {});
  }

  /** Closes what belongs to hosts that are none of these any more. */
  keep(addresses: ReadonlySet<string>): void {
    for (const [host, peer] of this.#peers) {
      if (addresses.has(host)) continue;
      this.#peers.delete(host);
      peer.then(({ socket }) => socket.close()).catch(() => {});
    }
  }

  #nextPort(): number | null {
    const count = this.#ports.to - this.#ports.from + 1;
    for (let i = 0; i < count; i++) {
      const port = this.#port;
      this.#port = port === this.#ports.to ? this.#ports.from : port + 1;
      if (!this.#exchanges.has(port)) return port;
    }
    return null;
  }

  #peer(host: string, local: Address): Promise<Peer> {
    const known = this.#peers.get(host);
    if (known !== undefined) return known;
    const opened = this.#open(host, local);
    this.#peers.set(host, opened);
    opened.catch(() => this.#peers.delete(host));
    return opened;
  }

  async #open(host: string, local: Address): Promise<Peer> {
    const socket = createSocket(local.family === 4 ? "udp4" : "udp6");
    const peer: Peer = { host, socket, refusedAt: Number.NEGATIVE_INFINITY };
    try {
      socket.bind({ address: formatAddress(local), port: 0, exclusive: true });
      await once(socket, "listening");
      // Connected: the kernel tells us of ICMP messages, and of none but this host's.
      socket.connect(this.#guePort, host);
      await once(socket, "connect");
    } catch (error) {
      socket.close();
      throw error;
    }
    socket.unref();
    socket.on("error", (error) => this.#hearError(peer, error));
    return peer;
  }

  #hearError(peer: Peer, { code }: NodeJS.ErrnoException): void {
    if (code !== "ECONNREFUSED") return;
    peer.refusedAt = performance.now();
    for (const exchange of [...this.#exchanges.values()]) if (exchange.peer === peer) exchange.refused();
  }

  #send(peer: Peer, datagram: Uint8Array): void {
    if (this.#closed) return;
    try {
      // What cannot be sent is like what is lost, but for what hearError() makes of it.
      peer.socket.send(datagram, (error) => {
        if (error !== null) this.#hearError(peer, error);
      });
    } catch {
      // It was closed meanwhile: its host is none of ours any more.
    }
    this.#look(LOOK_MS);
  }

  /** Looks for answers after `ms`, and then ever less often, until there are no probes under way. */
  #look(ms: number): void {
    clearTimeout(this.#timer);
    if (this.#closed || this.#exchanges.size === 0) return;
    this.#wait = ms;
    this.#timer = setTimeout(() => {
      const count = this.#replies.receive((packet) => this.#take(packet));
      if (count > 0) this.#look(LOOK_MS);
      else this.#look(Math.min(LOOK_MOST_MS, this.#wait * 2));
    }, ms);
  }

  #take(packet: Uint8Array): void {
    const reply = readReply(packet);
    if (reply === null) return;
    const exchange = this.#exchanges.get(reply.from);
    if (exchange !== undefined && formatAddress(exchange.vip) === formatAddress(reply.vip)) exchange.take(reply);
  }

  #echo(peer: Peer, ends: Ends, { timeout }: ServiceHealth): Promise<Finding | null> {
    const datagram = echoDatagram(ends);
    return this.#exchange(peer, ends, timeout, () => this.#send(peer, datagram), {
      take: (reply) => (reply.kind === "echo" ? FINE : null),
      late: () => null,
    });
  }

  #talk(peer: Peer, ends: Ends, health: ServiceHealth): Promise<Finding | null> {
    const words = { request: requestFor(health, authority(ends.vip, ends.to)), answer: new HttpAnswer(health) };
    const dialogue = new TcpDialogue(
      `${formatAddress(ends.vip)} port ${ends.to}`,
      randomBytes(4).readUInt32LE(),
      health.tunnel === "http" ? words : null,
    );
    const send = (segments: readonly Segment[]): void => {
      for (const segment of segments) this.#send(peer, tcpDatagram(ends, segment));
    };
    return this.#exchange(peer, ends, health.timeout, () => send([dialogue.pending]), {
      take: (reply) => {
        if (reply.kind !== "tcp" || reply.to !== ends.to) return null;
        send(dialogue.take(reply.segment));
        return dialogue.finding;
      },
      late: () => {
        send(dialogue.giveUp());
        return dialogue.late(`within ${health.timeout} s`);
      },
    });
  }

  /** Sends until it is clear what came of it: the finding, or null when nothing came. */
  #exchange(
    peer: Peer,
    { vip, from }: Ends,
    timeout: number,
    send: () => void,
    { take, late }: { take: (reply: Reply) => Finding | null; late: () => Finding | null },
  ): Promise<Finding | null> {
    if (this.#closed) return Promise.resolve(GIVEN_UP);
    return new Promise((resolve) => {
      let again: NodeJS.Timeout;
      const end = (finding: Finding | null): void => {
        clearTimeout(again);
        clearTimeout(over);
        this.#exchanges.delete(from);
        resolve(finding);
      };
      const over = setTimeout(() => end(late()), timeout * 1000);
      const repeat = (ms: number): void => {
        again = setTimeout(() => {
          send();
          repeat(2 * ms);
        }, ms);
      };
      this.#exchanges.set(from, {
        vip,
        peer,
        take: (reply) => {
          const finding =
            reply.kind === "unreachable"
              ? failed("rejected", `an ICMP message says that ${formatAddress(vip)} cannot be reached`)
              : take(reply);
          if (finding !== null) end(finding);
        },
        refused: () => end(this.#refusedBy(peer)),
        giveUp: () => end(GIVEN_UP),
      });
      repeat(AGAIN_MS);
      send();
    });
  }

  /** Nothing came back through the tunnel: does the host answer at all? */
  async #explainSilence(peer: Peer, local: Address, { vip, health }: Target): Promise<Finding> {
    if (this.#closed) return GIVEN_UP;
    if (performance.now() - peer.refusedAt < REFUSED_MS) return this.#refusedBy(peer);
    const nothing = `nothing came back from ${formatAddress(vip)} through the tunnel within ${health.timeout} s`;
    return (await this.#answers(peer.host, local))
      ? failed("silent", `${nothing}, though ${peer.host} answers`)
      : failed("unreachable", `${nothing}, and ${peer.host} answers nothing else`);
  }

  #refusedBy({ host }: Peer): Finding {
    return failed("gue-refused", `nothing listens on UDP port ${this.#guePort} of ${host}`);
  }

  /** Whether the host answers outside of the tunnel: to a TCP connection to the number of the GUE port, by taking or refusing it. */
  #answers(host: string, local: Address): Promise<boolean> {
    const asked = this.#reach.get(host);
    if (asked !== undefined) return asked.answer;
    let tell: (answers: boolean) => void = () => {};
    const answer = new Promise<boolean>((resolve) => {
      tell = resolve;
    });
    const socket = connect({ host, port: this.#guePort, localAddress: formatAddress(local), timeout: REACH_MS });
    const end = (answers: boolean): void => {
      this.#reach.delete(host);
      socket.destroy();
      tell(answers);
    };
    socket.once("connect", () => end(true));
    socket.once("timeout", () => end(false));
    socket.once("error", ({ code }: NodeJS.ErrnoException) => end(code === "ECONNREFUSED" || code === "ECONNRESET"));
    this.#reach.set(host, { answer, end });
    return answer;
  }
}
