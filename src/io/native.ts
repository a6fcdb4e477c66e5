/** The C addon in native/, typed. Every call that fails throws a NativeError whose message names call, device and remedy. */
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

/** What a failing system call becomes: `code` is the errno name, `message` one line with call, device and remedy. */
export interface NativeError extends Error {
  readonly code: string;
  readonly syscall: string;
}

/** An opaque value made by the addon; freed when it is collected. It keeps the arrays it was made with alive. */
export type NativeHandle = { readonly __native: unique symbol };

export interface Native {
  /**
   * AF_PACKET socket (SOCK_RAW, all protocols, incoming packets only, PACKET_VNET_HDR) bound to a device; non-blocking.
   * `filter` is a classic BPF program, 8 bytes an instruction in host order (struct sock_filter), attached before the
   * socket sees traffic. `fanoutGroup` 0..65535 joins a PACKET_FANOUT_HASH group, -1 none. Returns the descriptor.
   */
  openPacketSocket(device: string, fanoutGroup: number, receiveBuffer: number, filter: Uint8Array | null): number;
  /**
   * AF_PACKET socket for what arrives on any device (SOCK_DGRAM: packets begin with the IP header; no virtio header);
   * non-blocking. `filter` is as above, run from the IP header on.
   */
  openReplySocket(receiveBuffer: number, filter: Uint8Array): number;
  /** Replaces the classic BPF program of a socket at once. */
  setFilter(fd: number, filter: Uint8Array): void;
  /**
   * One queue of a multi-queue TUN without packet information, with virtio headers; non-blocking. The device goes away with
   * its last descriptor. `offloads`: TCP (and, where the kernel has it, UDP) super-segments may be read from it.
   */
  openTun(name: string, offloads: boolean): number;
  /** UDP socket that receives GUE: SO_REUSEPORT if asked, traffic class reported, UDP_GRO if asked and known; non-blocking. */
  openGueReceiver(address: string, port: number, reusePort: boolean, gro: boolean, receiveBuffer: number): number;
  /** UDP socket that only sends: bound to address and port with SO_REUSEPORT, DF set, everything that arrives is filtered out. */
  openGueSender(address: string, port: number): number;
  /**
   * What the kernel does when it is tried, in bits: 1 sends trains (UDP_SEGMENT), 2 receives them whole (UDP_GRO), 4 takes TCP
   * super-segments from a TUN, 8 UDP ones (Linux 6.2). Trains go over loopback; the TUN is one of its own that is never up.
   */
  testOffloads(): number;
  /** Whether this kernel knows UDP_SEGMENT. */
  hasUdpSegment(): boolean;
  close(fd: number): void;

  /** Counters of the kernel for an AF_PACKET socket since the last call: [packets, drops] (PACKET_STATISTICS). */
  packetStatistics(fd: number): [number, number];
  /**
   * AF_PACKET sockets on a device that count frames and are never read (PACKET_FANOUT_CBPF, a group of its own). The program
   * runs over each frame from its network header on and returns which socket counts it, 1 to `count` (at most 255), or 0 for
   * none; a program that reaches beyond a frame returns 0. Gives `count + 1` descriptors, to be closed together;
   * packetStatistics()[0] of number i is what it has counted since the last call.
   */
  openFrameCounters(device: string, count: number, program: Uint8Array): number[];

  /**
   * Compiles an expression in pcap-filter's language with libpcap, optimised, for a libpcap link type (DLT_RAW is 12, DLT_EN10MB
   * 1), to struct sock_filter in host order. Throws an Error with code ENOPCAP when there is no libpcap, EINVAL with libpcap's
   * own words when the expression is wrong. Names in it are resolved, which may block.
   */
  compileFilter(expression: string, linkType: number): Uint8Array;
  /** Runs a program over a packet in libpcap's own interpreter, for tests. RangeError when libpcap calls the program invalid. */
  runFilter(program: Uint8Array, packet: Uint8Array): number;

  /**
   * Prepares reads of `kind` into `slots` slots of the pool: slot i begins at `first + i * slotSize`, the packet at
   * HEADROOM in it. `records` is an RxBurst's array. The end of the headroom serves for the virtio header. A `reply` is of a socket of
   * openReplySocket(), without that header.
   */
  createReceiver(
    kind: "packet" | "reply" | "tun" | "gue",
    fd: number,
    pool: Uint8Array,
    first: number,
    slotSize: number,
    slots: number,
    records: Int32Array,
  ): NativeHandle;
  /**
   * Gives a receiver of kind "packet" `slots` large slots (at most 64) of `size` bytes each, from `first` on in its pool: what is longer
   * than a slot lies there, at HEADROOM. Frames beyond that are cut.
   */
  addLargeSlots(receiver: NativeHandle, pool: Uint8Array, first: number, size: number, slots: number): void;
  /** Receives a burst; returns the count, 0 when nothing waits. Throws only when the descriptor is unusable. */
  receive(receiver: NativeHandle): number;

  /**
   * Prepares sends to UDP port `port` of GUE peers: `senders4` and `senders6` are GUE_SOURCE_PORTS descriptors each, or empty.
   * With `segmentation`, and where the kernel has UDP_SEGMENT, messages of one source port that follow each other, to one host
   * and with datagrams of one size, go as one train. `sends` gets, as its first word, how many messages the kernel took.
   */
  createGueSink(
    pool: Uint8Array,
    port: number,
    senders4: Int32Array,
    senders6: Int32Array,
    segmentation: boolean,
    records: Int32Array,
    iovs: Int32Array,
    sums: Int32Array,
    sends: Int32Array,
  ): NativeHandle;
  /** Prepares writes to a TUN queue. */
  createTunSink(pool: Uint8Array, fd: number, records: Int32Array, iovs: Int32Array, sums: Int32Array): NativeHandle;
  /** Raw socket of IP family 4 or 6 that only sends: packets with their IP header, whatever their source address; non-blocking. */
  openRawSender(family: 4 | 6): number;
  /** Prepares sends of UP_* records through descriptors of openRawSender() (-1: none); each goes to its header's destination. */
  createRawSink(
    pool: Uint8Array,
    fd4: number,
    fd6: number,
    records: Int32Array,
    iovs: Int32Array,
    sums: Int32Array,
  ): NativeHandle;
  /**
   * Does the checksum jobs, then sends `count` messages. Returns how many were not taken: refused by the kernel, or wrong
   * (a gather pair outside the pool, a length that is not the sum of the pairs). Wrong checksum jobs are left out.
   */
  send(sink: NativeHandle, count: number, iovCount: number, sumCount: number): number;

  /** Runs checksum jobs (SUM_* words) over a pool. Throws a RangeError when one reaches outside. */
  sumChecksums(pool: Uint8Array, sums: Int32Array, count: number): void;

  /** Verifies checksums (CHECK_* words) over a pool. Throws a RangeError when one reaches outside. */
  verifyChecksums(pool: Uint8Array, checks: Int32Array, count: number): void;

  /** Netlink socket for createSocketLookup(). Throws when the kernel cannot look up TCP or UDP sockets (tcp_diag, udp_diag). */
  openSockDiag(): number;
  /**
   * Prepares look-ups on a descriptor of openSockDiag(): `queries` holds QUERY_* records (src/io/socket-lookup.ts), 1024 at
   * most, `answers` a byte for each.
   */
  createSocketLookup(fd: number, queries: Int32Array, answers: Uint8Array): NativeHandle;
  /**
   * Answers the first `count` queries: ANSWER_FOUND, ANSWER_NONE, or ANSWER_UNKNOWN for a query that is none and where the
   * kernel gave no answer. Throws only when the descriptor is unusable.
   */
  lookUpSockets(lookup: NativeHandle, count: number): void;

  /** eventfd, non-blocking. */
  createWake(): number;
  /** Makes a `wait` on this eventfd return; from any thread. */
  wake(fd: number): void;
  /** Prepares waiting for input on descriptors. */
  createWaiter(fds: Int32Array): NativeHandle;
  /**
   * Blocks the thread until one is readable or `timeoutMs` (-1: for ever) has passed; drains eventfds made by createWake. For
   * the first `busyUs` microseconds it does not sleep but looks again and again, and lets others run in between.
   * Returns a bit mask of the ready descriptors by index (31 at most); 0 after the timeout or a signal. A descriptor in
   * error counts as readable, receive() then tells what is wrong. Do not give one eventfd to two waiters: one drains it.
   */
  wait(waiter: NativeHandle, timeoutMs: number, busyUs: number): number;

  /**
   * Maps `size` bytes of a file shared and writable, making or growing the file if `create` (its pages are allocated then:
   * a full file system is an error here, not a crash later). Unmapped when collected. RangeError when the file is shorter.
   */
  mapFile(path: string, size: number, create: boolean): ArrayBuffer;
  /** Takes an exclusive lock on a file (flock), made if missing; held until closed or the process ends. Throws EWOULDBLOCK if taken. */
  lockFile(path: string): number;
  /**
   * Sends descriptors over a connected UNIX stream socket, 253 with each byte; never waits. The receiver gets the same open files:
   * what they hold, their locks and their groups are shared from then on.
   */
  sendDescriptors(fd: number, descriptors: Int32Array): void;
  /**
   * Connects to the UNIX stream socket at `path` (at most 107 bytes), writes `request` (255) and receives exactly `count` descriptors
   * of sendDescriptors(), in order. Blocks the thread for `timeoutMs` at most; throws ETIMEDOUT, ECONNRESET when the other end
   * closes before, and has then closed what came.
   */
  receiveDescriptors(path: string, request: string, count: number, timeoutMs: number): number[];
  /** [pid, uid] of the process at the other end of a UNIX socket when it connected (SO_PEERCRED). */
  peerCredentials(fd: number): [number, number];
  /** Packets that the kernel had no room for in a socket since that was made (SO_MEMINFO, Linux 4.12). */
  socketDrops(fd: number): number;
  /** Sends a datagram to a UNIX socket without waiting; a path that begins with @ is abstract. */
  notify(path: string, message: string): void;
  /** Pins the calling thread to a CPU. */
  pinThread(cpu: number): void;
}

const require = createRequire(import.meta.url);

let path = fileURLToPath(new URL("../../../native/build/Release/haflinger.node", import.meta.url));
let loaded: Native | undefined;

/** Takes the addon from another file: a build with sanitizers, in tests. To be called in each thread before native(). */
export function useAddon(file: string): void {
  path = file;
}

/** Loads the addon on first use. Throws when it has not been built (`npm run build`). */
export function native(): Native {
  if (loaded === undefined) {
    try {
      loaded = require(path) as Native;
    } catch (error) {
      throw new Error(`${path}: cannot be loaded, run "npm run build" (${(error as Error).message})`);
    }
  }
  return loaded;
}
