/**
 * All sockets and queues of the workers, opened in the main thread: what fails fails there, with one clear line, before
 * anything is changed on the host. Or those of a running agent, taken over from it.
 */
import { native } from "../io/native.ts";
import { GUE_FIRST_SOURCE_PORT, GUE_SOURCE_PORTS } from "../io/packet-io.ts";
import { type Address, formatAddress, type Prefix } from "../wire/address.ts";
import type { DescriptorSet, WorkerSet } from "./descriptor-set.ts";
import { Failure } from "./failure.ts";
import { ipJson } from "./host-state.ts";

/** What is to be opened. */
export interface Wiring {
  /** The config file, for messages. */
  readonly file: string;
  readonly instance: string;
  readonly mode: "af-packet" | "tun";
  readonly uplink: string;
  readonly tun: string;
  readonly workers: number;
  readonly dips: readonly Address[];
  readonly guePort: number;
  /** Take packets from peers in trains, where the kernel can. */
  readonly receiveTrains: boolean;
  readonly vips: readonly Prefix[];
  /** The socket filter of the uplink for these prefixes. */
  readonly filter: (vips: readonly Prefix[]) => Uint8Array;
}

/** What one worker is given; WorkerOptions of the data plane, without what is the same for all. */
export interface WorkerDescriptors extends WorkerSet {
  readonly wakeFd: number;
}

/** Bytes the kernel may hold for us while a worker is busy: at full rate a few milliseconds of 64 KB frames. */
const UPLINK_BUFFER = 32 << 20;
const GUE_BUFFER = 16 << 20;

/** Keeps a descriptor to be closed in the end, and gives it back. */
type Keep = (fd: number) => number;

export class Descriptors {
  readonly set: DescriptorSet;
  readonly workers: readonly WorkerDescriptors[];
  readonly #wiring: Wiring;
  readonly #open: number[];

  private constructor(wiring: Wiring, set: DescriptorSet, open: number[]) {
    this.#wiring = wiring;
    this.set = set;
    this.#open = open;
    this.workers = set.workers.map((own) => {
      const wakeFd = native().createWake();
      open.push(wakeFd);
      return { ...own, wakeFd };
    });
  }

  /** Opens everything, or nothing: throws a Failure of one line. */
  static open(wiring: Wiring): Descriptors {
    const open: number[] = [];
    const keep = (fd: number): number => {
      open.push(fd);
      return fd;
    };
    try {
      probeGue(wiring);
      return new Descriptors(wiring, openSet(wiring, keep), open);
    } catch (error) {
      for (const fd of open) native().close(fd);
      throw error instanceof Failure ? error : new Failure((error as Error).message);
    }
  }

  /** Takes those of another process, which are this one's to close from then on. Throws when they are not what the wiring needs. */
  static adopt(wiring: Wiring, set: DescriptorSet): Descriptors {
    const families = (family: 4 | 6): number => wiring.dips.filter((dip) => dip.family === family).length;
    const whole =
      set.workers.length === wiring.workers &&
      set.workers.every(({ gueFds }) => gueFds.length === wiring.dips.length) &&
      set.senders4.length === families(4) * GUE_SOURCE_PORTS &&
      set.senders6.length === families(6) * GUE_SOURCE_PORTS;
    if (!whole) throw new Error("its sockets are not those that this version works with");
    const { workers, senders4, senders6, rawFd4, rawFd6 } = set;
    const own = workers.flatMap(({ uplinkFd, deliveryFd, gueFds, socketsFd }) => [uplinkFd, deliveryFd, ...gueFds, socketsFd]);
    const all = [...own, ...senders4, ...senders6, ...[rawFd4, rawFd6].filter((fd) => fd >= 0)];
    return new Descriptors(wiring, set, [...new Set(all)]);
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

  /** Packets that the kernel had no room for until now, in all queues that workers read; null when it does not say. */
  dropped(): number | null {
    try {
      const { mode, tun } = this.#wiring;
      const sockets = this.workers.flatMap(({ uplinkFd, gueFds }) => (mode === "tun" ? gueFds : [uplinkFd, ...gueFds]));
      const dropped = sockets.reduce((sum, fd) => sum + native().socketDrops(fd), 0);
      if (mode !== "tun") return dropped;
      // What a TUN has no room for its device counts, as dropped on the way out to us.
      const [device] = ipJson<{ stats64: { tx: { dropped: number } } }>(null, "-s", "link", "show", "dev", tun);
      return dropped + device!.stats64.tx.dropped;
    } catch {
      return null;
    }
  }

  /** Closes everything; the workers must have ended. The TUN goes away with the last copy of its descriptors. */
  close(): void {
    const failed = this.#open.splice(0).flatMap((fd) => {
      try {
        native().close(fd);
        return [];
      } catch (error) {
        return [error];
      }
    });
    if (failed.length > 0) throw failed[0];
  }
}

function openSet(wiring: Wiring, keep: Keep): DescriptorSet {
  const indexes = Array.from({ length: wiring.workers }, (_, i) => i);
  const tuns = indexes.map(() => keep(native().openTun(wiring.tun, true)));
  const uplinks = wiring.mode === "tun" ? tuns : indexes.map(() => keep(openUplink(wiring)));
  const gues = indexes.map(() => wiring.dips.map((dip) => keep(openGue(wiring, dip, wiring.workers > 1))));
  const senders = (family: number): number[] =>
    wiring.dips.filter((dip) => dip.family === family).flatMap((dip) => openSenders(dip, keep));
  return {
    workers: indexes.map((i) => ({
      uplinkFd: uplinks[i]!,
      deliveryFd: tuns[i]!,
      gueFds: gues[i]!,
      socketsFd: keep(native().openSockDiag()),
    })),
    rawFd4: openRaw(4, keep),
    rawFd6: openRaw(6, keep),
    senders4: senders(4),
    senders6: senders(6),
  };
}

/** With SO_REUSEPORT a second program on the port would go unnoticed and take half of the packets. */
function probeGue(wiring: Wiring): void {
  for (const dip of wiring.dips) {
    try {
      native().close(openGue(wiring, dip, false));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE") throw error;
      const address = `${formatAddress(dip)} UDP port ${wiring.guePort}`;
      throw new Failure(
        `${wiring.file}: gue.port: ${address} is in use by another program or a tunnel of the kernel (stop it, or choose another gue.port for the cluster)`,
      );
    }
  }
}

function openGue({ guePort, receiveTrains }: Wiring, dip: Address, reusePort: boolean): number {
  const trains = receiveTrains && native().hasUdpSegment();
  return native().openGueReceiver(formatAddress(dip), guePort, reusePort, trains, GUE_BUFFER);
}

function openRaw(family: 4 | 6, keep: Keep): number {
  try {
    return keep(native().openRawSender(family));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EAFNOSUPPORT") return -1;
    throw error;
  }
}

function openUplink({ uplink, workers, instance, vips, filter }: Wiring): number {
  const group = workers > 1 ? fanoutGroup(instance) : -1;
  return native().openPacketSocket(uplink, group, UPLINK_BUFFER, filter(vips));
}

/** One socket for each source port, shared by all workers; ports that others hold are passed over. */
function openSenders(dip: Address, keep: Keep): number[] {
  const senders: number[] = [];
  for (let port = GUE_FIRST_SOURCE_PORT; port <= 65535 && senders.length < GUE_SOURCE_PORTS; port++) {
    try {
      senders.push(keep(native().openGueSender(formatAddress(dip), port)));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE") throw error;
    }
  }
  if (senders.length === GUE_SOURCE_PORTS) return senders;
  throw new Failure(
    `${formatAddress(dip)}: fewer than ${GUE_SOURCE_PORTS} free UDP ports from ${GUE_FIRST_SOURCE_PORT} up (stop what holds them)`,
  );
}

/** The same for each start of an instance, and most likely another for another instance. */
function fanoutGroup(instance: string): number {
  let hash = 17;
  for (const c of instance) hash = (hash * 31 + c.charCodeAt(0)) & 0xffff;
  return hash;
}
