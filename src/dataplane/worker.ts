/**
 * A data plane thread. It owns one queue of the uplink, its GUE sockets and one queue of the TUN, and does nothing but turn
 * bursts; when there is nothing to do it sleeps in poll(). What the control plane wants to tell it stands in shared memory.
 *
 *     ready -> stands by until the control block has its token -> running -> the token is another's: paused -> stands by ...
 *
 * The control plane hears of each step. With all that was read sent, nothing is on a worker that pauses.
 */
import { parentPort, workerData } from "node:worker_threads";
import { PacketSocketSource } from "../io/af-packet.ts";
import { NativeVerifier } from "../io/checksums.ts";
import { GueSink, GueSource } from "../io/gue-socket.ts";
import { native } from "../io/native.ts";
import { HEADROOM, type LinkType, type PacketSource } from "../io/packet-io.ts";
import { RawSink } from "../io/raw-socket.ts";
import { countersPath, flowsPath, fragmentsPath, mapControl, synsPath } from "../io/runtime-files.ts";
import { SocketLookup } from "../io/socket-lookup.ts";
import { TunSink, TunSource } from "../io/tun.ts";
import { controlWords, mayRun } from "../shm/control-block.ts";
import { countBurst, counterAt, countersBytes, workerBlock } from "../shm/counters.ts";
import { flowTableBytes, viewFlows } from "../shm/flow-table.ts";
import { FRAGMENTS_BYTES, viewFragments } from "../shm/fragment-table.ts";
import { hostClock } from "../shm/host-clock.ts";
import { SYNS_BYTES, viewSyns } from "../shm/syn-memory.ts";
import { viewOf } from "../wire/bytes.ts";
import { COALESCED_MOST, createCoalescer } from "./coalesce.ts";
import { createContext, WAITING } from "./context.ts";
import { CurrentRules } from "./current-rules.ts";
import { CurrentTables } from "./current-tables.ts";
import { createFlowMemory } from "./flow-memory.ts";
import { HELD_BYTES } from "./held-fragments.ts";
import { ALL_SOURCES, createTurn, endTurns } from "./pipeline.ts";
import { socketQuestions } from "./socket-questions.ts";

export interface WorkerOptions {
  /** The worker takes bursts while the control block has this token. */
  readonly token: number;
  /** One shared word; not 0: a worker that stands by ends. */
  readonly end: Int32Array;
  /** This worker, 0 to workers - 1. */
  readonly index: number;
  readonly workers: number;
  readonly runtimeDir: string;
  /** What frames of the uplink begin with. */
  readonly link: LinkType;
  /** Descriptors are opened and closed by the main thread, which outlives the workers. */
  readonly uplinkFd: number;
  readonly uplinkKind: "packet" | "tun";
  readonly deliveryFd: number;
  readonly gueFds: readonly number[];
  /** GUE_SOURCE_PORTS descriptors, or none where the host has no DIP of the family. */
  readonly senders4: readonly number[];
  readonly senders6: readonly number[];
  readonly wakeFd: number;
  /** Raw sockets for what we originate; -1 where the kernel lacks the family. */
  readonly rawFd4: number;
  readonly rawFd6: number;
  readonly guePort: number;
  /** Flows the table has room for, and whether directors use it. */
  readonly flows: number;
  readonly directorFlows: boolean;
  /** Whether packets to a host may be sent in trains. */
  readonly segmentation: boolean;
  /** Packets of which protocols are put together for the kernel. */
  readonly coalesceTcp: boolean;
  readonly coalesceUdp: boolean;
  /** Netlink, to ask the kernel for sockets. */
  readonly socketsFd: number;
  /** CPU to run on; -1: any. */
  readonly cpu: number;
  /** How long to look for packets again before sleeping, microseconds. */
  readonly busyPollUs: number;
}

/** Packets in one burst from the uplink, and from each GUE socket. */
const UPLINK_BURST = 512;
const GUE_BURST = 32;
/** After so many packets there are likely to be more. */
const LARGE_BURST = 32;
/** A slot takes the largest super-segment; no multiple of 4096, lest the headers of all slots share a few cache sets. */
const SLOT = HEADROOM + 65_536 + 320;
/**
 * Frames of BIG TCP lie in large slots, which take the longest that Linux makes (GRO_MAX_SIZE, and headers). Memory that no such frame
 * ever lay in is only promised: it takes none of the machine's.
 */
const LARGE_SLOTS = 32;
const LARGE_SLOT = HEADROOM + 524_280 + 384;
/** Headers of the segments of a burst: room for 64 super-segments of 45 segments and 128 bytes of headers each. */
const SCRATCH = 384 * 1024;
const QUEUE_MESSAGES = 1024;
const QUEUE_IOVS = 8192;
const QUEUE_SUMS = 4096;
const KERNEL_IOVS = 2 * COALESCED_MOST;
const ORIGIN_MESSAGES = 64;
/** New flows a second, as a share of the table: a flood of them needs that much longer to go round. */
const NEW_FLOWS = 0.1;
/** How often the kernel is asked for the frames it lost, ms. */
const STATISTICS_MS = 1000;
/** How long the worker sleeps at most while it holds fragments whose first another worker may get, ms. */
const HELD_CHECK_MS = 5;

function run(options: WorkerOptions): void {
  const addon = native();
  if (options.cpu >= 0) addon.pinThread(options.cpu);
  const control = controlWords(mapControl(options.runtimeDir, false));
  const counters = workerBlock(
    addon.mapFile(countersPath(options.runtimeDir), countersBytes(options.workers), false),
    options.index,
  );
  const gueSlots = options.gueFds.length * GUE_BURST;
  const large = { first: (UPLINK_BURST + gueSlots) * SLOT, size: LARGE_SLOT, count: LARGE_SLOTS };
  const scratchStart = large.first + LARGE_SLOTS * LARGE_SLOT;
  const pool = new Uint8Array(scratchStart + SCRATCH + HELD_BYTES);

  const uplink: PacketSource =
    options.uplinkKind === "packet"
      ? new PacketSocketSource(options.uplinkFd, options.link, pool, 0, SLOT, UPLINK_BURST, large)
      : new TunSource(options.uplinkFd, pool, 0, SLOT, UPLINK_BURST);
  const gue = options.gueFds.map((fd, i) => new GueSource(fd, pool, (UPLINK_BURST + i * GUE_BURST) * SLOT, SLOT, GUE_BURST));
  const senders = { ipv4: options.senders4, ipv6: options.senders6 };
  const peers = new GueSink(senders, options.guePort, options.segmentation, pool, QUEUE_MESSAGES, QUEUE_IOVS, QUEUE_SUMS);
  const kernel = new TunSink(options.deliveryFd, pool, QUEUE_MESSAGES, KERNEL_IOVS, 1);

  const origin = new RawSink(options.rawFd4, options.rawFd6, pool, ORIGIN_MESSAGES);

  const current = new CurrentTables(options.runtimeDir, control, options.index);
  const rules = new CurrentRules(options.runtimeDir, options.index, options.workers);
  const flows = addon.mapFile(flowsPath(options.runtimeDir), flowTableBytes(options.flows), false);
  const memory = createFlowMemory(
    viewFlows(flows, Math.ceil((options.flows * NEW_FLOWS) / options.workers)),
    viewSyns(addon.mapFile(synsPath(options.runtimeDir), SYNS_BYTES, false)),
    viewFragments(addon.mapFile(fragmentsPath(options.runtimeDir), FRAGMENTS_BYTES, false)),
    socketQuestions(new SocketLookup(options.socketsFd, WAITING)),
    options.directorFlows,
  );
  const context = createContext(
    viewOf(pool),
    counters,
    current.tables,
    peers,
    kernel,
    origin,
    scratchStart,
    scratchStart + SCRATCH,
    memory,
  );
  if (options.coalesceTcp || options.coalesceUdp) {
    const verifier = new NativeVerifier(pool, COALESCED_MOST);
    context.coalescer = createCoalescer(verifier, options.coalesceTcp, options.coalesceUdp);
  }
  const turn = createTurn(context, uplink, gue);
  const waiter = addon.createWaiter(Int32Array.from([options.wakeFd, options.uplinkFd, ...options.gueFds]));
  const idle = addon.createWaiter(Int32Array.from([options.wakeFd]));
  const waits = counterAt("waits");
  const kernelDrops = counterAt("kernelDrops");
  const { token, end, busyPollUs } = options;
  let asked = 0;

  say("ready");
  while (Atomics.load(end, 0) === 0) {
    if (!mayRun(control, token)) {
      addon.wait(idle, STATISTICS_MS, 0);
      continue;
    }
    current.enter();
    say("running");
    let ready = ALL_SOURCES;
    let began = performance.now();
    while (mayRun(control, token)) {
      context.drop = rules.take(current.take());
      const handled = turn(ready);
      const turned = performance.now();
      if (handled > 0) countBurst(counters, (turned - began) * 1000);
      began = turned;
      ready = ALL_SOURCES;
      if (handled >= LARGE_BURST) continue;
      // What has come in the meantime is found by waiting, which then takes no time: a source that has nothing is not asked.
      counters[waits] = counters[waits]! + 1;
      if (options.uplinkKind === "packet" && turned - asked >= STATISTICS_MS) {
        asked = turned;
        counters[kernelDrops] = counters[kernelDrops]! + addon.packetStatistics(options.uplinkFd)[1];
      }
      // The first of the waiter's descriptors is no source.
      ready = addon.wait(waiter, context.held.count > 0 ? HELD_CHECK_MS : STATISTICS_MS, busyPollUs) >> 1;
      began = performance.now();
    }
    endTurns(context);
    current.leave();
    say("paused");
  }
}

/** Tells the control plane how far the worker is, and when that was: ms of hostClock(). */
function say(what: "ready" | "running" | "paused"): void {
  parentPort?.postMessage({ what, at: hostClock() });
}

run(workerData as WorkerOptions);
