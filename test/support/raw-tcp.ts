/** A TCP client that sends just the segments a test asks for, through a TUN, to bring the kernel's end into any state. */
import { readFileSync, readSync, writeSync } from "node:fs";
import { until } from "./netns.ts";
import { rawPacket } from "./raw-packet.ts";

export const FIN = 0x01;
export const SYN = 0x02;
export const ACK = 0x10;

/** struct virtio_net_hdr in front of every packet of a TUN with IFF_VNET_HDR. */
const VIRTIO_HEADER = 10;
const FIRST_SEQUENCE = 1000;

/** A descriptor of openTun() and what the kernel last answered, by destination port. */
export class RawTcpLink {
  readonly #fd: number;
  readonly #frame = Buffer.alloc(65_536 + VIRTIO_HEADER);
  /** Sequence number after the last segment that came for a port. */
  readonly next = new Map<number, number>();

  constructor(fd: number) {
    this.#fd = fd;
  }

  /** Writes a packet whose TCP checksum is partial. */
  write(packet: Uint8Array, ipLength: number): void {
    const header = new Uint8Array(VIRTIO_HEADER);
    const view = new DataView(header.buffer);
    header[0] = 1; // VIRTIO_NET_HDR_F_NEEDS_CSUM
    view.setUint16(6, ipLength, true);
    view.setUint16(8, 16, true);
    writeSync(this.#fd, Uint8Array.of(...header, ...packet));
  }

  /** Takes all that waits. */
  read(): void {
    for (;;) {
      try {
        const length = readSync(this.#fd, this.#frame);
        this.#take(this.#frame.subarray(VIRTIO_HEADER, length));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "EAGAIN") return;
        throw error;
      }
    }
  }

  #take(packet: Buffer): void {
    const v4 = packet[0]! >> 4 === 4;
    if (packet[v4 ? 9 : 6] !== 6) return;
    const tcp = packet.subarray(v4 ? 20 : 40);
    const flags = tcp[13]!;
    const length = tcp.length - (tcp[12]! >> 4) * 4 + (flags & SYN ? 1 : 0) + (flags & FIN ? 1 : 0);
    this.next.set(tcp.readUInt16BE(2), (tcp.readUInt32BE(4) + length) >>> 0);
  }
}

export interface RawTcpFlow {
  readonly source: string;
  readonly destination: string;
  readonly sourcePort: number;
  readonly destinationPort: number;
}

/** The client's end of one flow. */
export class RawTcpClient {
  readonly #link: RawTcpLink;
  readonly #flow: RawTcpFlow;
  #sequence = FIRST_SEQUENCE;
  /** What the client acknowledges; a test that holds it back makes the kernel wait. */
  acknowledged = 0;

  constructor(link: RawTcpLink, flow: RawTcpFlow) {
    this.#link = link;
    this.#flow = flow;
  }

  send(flags: number): void {
    const { bytes, ipLength } = rawPacket({ ...this.#flow, protocol: "tcp", payload: new Uint8Array(0), partial: true });
    const view = new DataView(bytes.buffer);
    view.setUint32(ipLength + 4, this.#sequence);
    view.setUint32(ipLength + 8, flags & ACK ? this.acknowledged : 0);
    bytes[ipLength + 13] = flags;
    if (flags & (SYN | FIN)) this.#sequence++;
    this.#link.write(bytes, ipLength);
  }

  /** Sends a SYN and waits for the answer. */
  async open(): Promise<void> {
    this.send(SYN);
    await until("SYN-ACK", () => {
      this.#link.read();
      return this.#link.next.has(this.#flow.sourcePort);
    });
  }

  /** Acknowledges all that came. */
  acknowledge(): void {
    this.#link.read();
    this.acknowledged = this.#link.next.get(this.#flow.sourcePort)!;
    this.send(ACK);
  }
}

const STATES = [
  "",
  "ESTABLISHED",
  "SYN_SENT",
  "SYN_RECV",
  "FIN_WAIT1",
  "FIN_WAIT2",
  "TIME_WAIT",
  "CLOSE",
  "CLOSE_WAIT",
  "LAST_ACK",
  "LISTEN",
  "CLOSING",
];

/** State of this namespace's TCP socket with these ports, "none" without one; read off /proc/net. */
export function tcpState(localPort: number, remotePort: number): string {
  const port = (n: number) => n.toString(16).toUpperCase().padStart(4, "0");
  for (const file of ["tcp", "tcp6"]) {
    for (const line of readFileSync(`/proc/self/net/${file}`, "utf8").split("\n").slice(1)) {
      const [, local, remote, state] = line.trim().split(/\s+/);
      if (local?.endsWith(`:${port(localPort)}`) && remote?.endsWith(`:${port(remotePort)}`)) {
        return STATES[Number.parseInt(state!, 16)] ?? state!;
      }
    }
  }
  return "none";
}
