/**
 * All sockets and queues of the workers, opened in the main thread: what fails fails there, with one clear line, before
 * anything is changed on the host.
 */
import { native } from "../io/native.ts";
import { GUE_FIRST_SOURCE_PORT, GUE_SOURCE_PORTS, type LinkType } from "../io/packet-io.ts";
import { type Address, formatAddress, type Prefix } from "../wire/address.ts";
import { Failure } from "./failure.ts";

/** What is to be opened. */
export interface Wiring {
  /** The config file, for messages. */
  readonly file: string;
  readonly instance: string;
  readonly mode: "af-packet" | "tun";
  readonly uplink: string;
  readonly link: LinkType;
  readonly tun: string;
  readonly workers: number;
  readonly dips: readonly Address[];
  readonly guePort: number;
  readonly vips: readonly Prefix[];
  /** The socket filter of the uplink for these prefixes. */
  readonly filter: (vips: readonly Prefix[]) => Uint8Array;
}

/** What one worker is given; WorkerOptions of the data plane, without what is the same for all. */
export interface WorkerDescriptors {
  readonly uplinkFd: number;
  readonly deliveryFd: number;
  readonly gueFds: readonly number[];
  /** Netlink, to ask for sockets. */
  readonly socketsFd: number;
  readonly wakeFd: number;
}

/** Bytes the kernel may hold for us while a worker is busy: at full rate a few milliseconds of 64 KB frames. */
const UPLINK_BUFFER = 32 << 20;
const GUE_BUFFER = 16 << 20;

export class Descriptors {
  readonly workers: readonly WorkerDescriptors[];
  readonly senders4: readonly number[];
  readonly senders6: readonly number[];
  /** Raw sockets, shared by all workers; -1 where the kernel lacks the family. */
  readonly rawFd4: number;
  readonly rawFd6: number;
  readonly #wiring: Wiring;
  readonly #open: number[] = [];

  /** Opens everything, or nothing: throws a Failure of one line. */
  constructor(wiring: Wiring) {
    this.#wiring = wiring;
    try {
      this.#probeGue();
      const indexes = Array.from({ length: wiring.workers }, (_, i) => i);
      const tuns = indexes.map(() => this.#keep(native().openTun(wiring.tun, true)));
      const uplinks = wiring.mode === "tun" ? tuns : indexes.map(() => this.#keep(this.#openUplink()));
      const gues = indexes.map(() => wiring.dips.map((dip) => this.#keep(this.#openGue(dip, wiring.workers > 1))));
      this.workers = indexes.map((i) => ({
        uplinkFd: uplinks[i]!,
        deliveryFd: tuns[i]!,
        gueFds: gues[i]!,
        socketsFd: this.#keep(native().openSockDiag()),
        wakeFd: this.#keep(native().createWake()),
      }));
      this.rawFd4 = this.#openRaw(4);
      this.rawFd6 = this.#openRaw(6);
      const senders = (family: number): number[] =>
        wiring.dips.filter((dip) => dip.family === family).flatMap((dip) => this.#openSenders(dip));
      this.senders4 = senders(4);
      this.senders6 = senders(6);
    } catch (error) {
      this.close();
      throw error instanceof Failure ? error : new Failure((error as Error).message);
    }
  }

  /** Lets packets to these prefixes through, and no others. */
  setFilter(vips: readonly Prefix[]): void {
    if (this.#wiring.mode === "tun") return;
    const filter = this.#wiring.filter(vips);
    for (const { uplinkFd } of this.workers) native().setFilter(uplinkFd, filter);
  }

  /** Makes every worker look at shared memory at once. */
  wake(): void {
    for (const { wakeFd } of this.workers) native().wake(wakeFd);
  }

  /** Closes everything; the workers must have ended. The TUN goes away with it. */
  close(): void {
    for (const fd of this.#open.splice(0)) native().close(fd);
  }

  #keep(fd: number): number {
    this.#open.push(fd);
    return fd;
  }

  /** With SO_REUSEPORT a second program on the port would go unnoticed and take half of the packets. */
  #probeGue(): void {
    for (const dip of this.#wiring.dips) {
      try {
        native().close(this.#openGue(dip, false));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE") throw error;
        const address = `${formatAddress(dip)} UDP port ${this.#wiring.guePort}`;
        throw new Failure(
          `${this.#wiring.file}: gue.port: ${address} is in use by another program or a tunnel of the kernel (stop it, or choose another gue.port for the cluster)`,
        );
      }
    }
  }

  #openGue(dip: Address, reusePort: boolean): number {
    return native().openGueReceiver(formatAddress(dip), this.#wiring.guePort, reusePort, native().hasUdpSegment(), GUE_BUFFER);
  }

  #openRaw(family: 4 | 6): number {
    try {
      return this.#keep(native().openRawSender(family));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EAFNOSUPPORT") return -1;
      throw error;
    }
  }

  #openUplink(): number {
    const { uplink, workers, instance, vips, filter } = this.#wiring;
    const group = workers > 1 ? fanoutGroup(instance) : -1;
    return native().openPacketSocket(uplink, group, UPLINK_BUFFER, filter(vips));
  }

  /** One socket for each source port, shared by all workers; ports that others hold are passed over. */
  #openSenders(dip: Address): number[] {
    const senders: number[] = [];
    for (let port = GUE_FIRST_SOURCE_PORT; port <= 65535 && senders.length < GUE_SOURCE_PORTS; port++) {
      try {
        senders.push(this.#keep(native().openGueSender(formatAddress(dip), port)));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE") throw error;
      }
    }
    if (senders.length === GUE_SOURCE_PORTS) return senders;
    throw new Failure(
      `${formatAddress(dip)}: fewer than ${GUE_SOURCE_PORTS} free UDP ports from ${GUE_FIRST_SOURCE_PORT} up (stop what holds them)`,
    );
  }
}

/** The same for each start of an instance, and most likely another for another instance. */
function fanoutGroup(instance: string): number {
  let hash = 17;
  for (const c of instance) hash = (hash * 31 + c.charCodeAt(0)) & 0xffff;
  return hash;
}
