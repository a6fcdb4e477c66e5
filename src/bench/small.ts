/** Small packets: how many a second pass a director, what is lost, and whether any overtakes another of its flow. */
import { nodeProgram } from "../lab/namespace.ts";
import { pollFor } from "../lab/poll.ts";
import { addressOf, UPLINK } from "../lab/topology.ts";
import { measureOn, Running, runOn, startOn } from "./namespace-process.ts";
import { type Part, pick, type Run, type Sample } from "./part.ts";
import { type Path, SMALL_PACKETS } from "./paths.ts";
import { BALANCER, GUE_PORT, ROUTER, SERVER, SMALL_PORT, SMALL_VIP, type Stand } from "./stand.ts";
import { BY_HAND_MODULES } from "./tools.ts";

const FLOWS = 10_000;
/** Frames the floor takes at once, if as many wait: the more, the longer its trains. Beyond this nothing is gained. */
const FLOOR_BURST = 512;
/** Of what the floor carries, what must pass without loss. */
export const LOSSLESS_SHARE = 0.8;
/** Column of /proc/net/packet with the bytes that wait in a socket. */
const RMEM = 6;
const EMPTY_MS = 20_000;
/** The run without loss lasts so many measurements. */
const LOSSLESS_TIMES = 15;

export interface SinkReport {
  readonly packets: number;
  readonly seconds: number;
  readonly late: number;
  readonly other: number;
  readonly dropped: number;
  readonly trains: number;
}
export interface Sent {
  readonly sent: number;
  readonly seconds: number;
}

/** Link address of a host's uplink. */
async function linkAddress(stand: Stand, node: string): Promise<string> {
  const [link] = JSON.parse(await runOn(stand, node, ["ip", "-j", "link", "show", UPLINK])) as { address: string }[];
  return link!.address;
}

/** Sends packets of so many flows to a director from the router's end of its link. `rate` 0: as many as go; `syn`: one SYN a flow. */
export async function generate(
  stand: Stand,
  director: string,
  flows: number,
  rate: number,
  seconds: number,
  syn = false,
): Promise<Sent> {
  const mac = await linkAddress(stand, director);
  const args = [director, mac, SMALL_VIP, SMALL_PORT, flows, rate, seconds, ...(syn ? ["syn"] : [])];
  return measureOn<Sent>(stand, ROUTER, "generate", args);
}

/** The director by hand, for packets to `vip`. */
export const startByHand = (stand: Stand, vip: string, peer: string): Promise<Running> =>
  Running.start(
    stand,
    BALANCER,
    nodeProgram("bench/by-hand.ts", [BY_HAND_MODULES, UPLINK, vip, addressOf(peer, 4), `${GUE_PORT}`]),
  );

function startDirector(stand: Stand, { name }: Path): Promise<Running> | null {
  const own = addressOf(BALANCER, 4);
  const floor = (ports: number): Promise<Running> =>
    startOn(stand, BALANCER, "floor", [UPLINK, SMALL_VIP, own, addressOf(SERVER, 4), GUE_PORT, ports, FLOOR_BURST]);
  if (name === "floor") return floor(64);
  if (name === "floor-1") return floor(1);
  return name === "by-hand" ? startByHand(stand, SMALL_VIP, SERVER) : null;
}

/** Waits until nothing waits in the packet sockets of a node: a director that got too much works on for a while. */
async function awaitEmpty(stand: Stand, node: string): Promise<void> {
  const held = async (): Promise<true | null> => {
    const [, ...sockets] = (await runOn(stand, node, ["cat", "/proc/net/packet"])).trim().split("\n");
    return sockets.every((line) => line.trim().split(/\s+/)[RMEM] === "0") ? true : null;
  };
  if ((await pollFor(held, EMPTY_MS, 50, stand.signal)) === null) throw new Error(`${node}: its packet sockets do not get empty`);
}

export interface Passed {
  readonly sent: Sent;
  readonly sink: SinkReport;
}

/** Packets from the generator through a director to the sink. The flows have begun with a SYN each. */
async function pass(stand: Stand, path: Path, flows: number, rate: number, seconds: number): Promise<Passed> {
  const [director] = path.through as [string];
  const running = await startDirector(stand, path);
  const sink = await startOn(stand, SERVER, "sink", [GUE_PORT, Math.ceil(seconds) + 60]);
  await generate(stand, director, flows, 0, 5, true);
  const sent = await generate(stand, director, flows, rate, seconds);
  await awaitEmpty(stand, director);
  const report = JSON.parse(await sink.stop()) as SinkReport;
  await running?.stop();
  if (report.packets === 0) throw new Error(`${path.name}: no small packet arrived`);
  return { sent, sink: report };
}

async function fullRate({ stand }: Run, path: Path, flows: number, seconds: number): Promise<Sample> {
  const { sink, sent } = await pass(stand, path, flows, 0, seconds);
  return {
    small: sink.packets / sink.seconds / 1000,
    offered: sent.sent / sent.seconds / 1000,
    late: sink.late,
    train: sink.packets / sink.trains,
  };
}

export const small: Part = {
  name: "small",
  title: "Packets of 64 bytes, 10,000 flows, director to sink",
  figures: {
    small: { unit: "thousand/s", better: "more" },
    offered: { title: "offered", unit: "thousand/s", better: "more" },
    late: { title: "out of order", unit: "packets", better: "less" },
    train: { title: "arrived together", unit: "packets", better: "more" },
  },
  needs: [],
  paths: pick(SMALL_PACKETS, "floor", "floor-1", "haflinger", "by-hand"),
  warmUp: 2,
  measure: (run, path, seconds) => fullRate(run, path, FLOWS, seconds),
};

export const loss: Part = {
  name: "loss",
  title: "Packets of 64 bytes at 80 % of the floor's rate: lost",
  figures: {
    lost: { unit: "packets", better: "less" },
    "lost of": { title: "of", unit: "packets", better: "more" },
    "lost in": { title: "in", unit: "s", better: "more" },
    "late at 80 %": { title: "out of order", unit: "packets", better: "less" },
  },
  needs: [],
  paths: pick(SMALL_PACKETS, "haflinger"),
  once: true,
  warmUp: 0,
  async measure(run, path, seconds): Promise<Sample> {
    const floor = run.medianOf("small", "floor");
    if (floor === undefined) throw new Error("loss: the floor's rate is not known (measure small as well: --only small,loss)");
    const rate = LOSSLESS_SHARE * floor * 1000;
    const { sent, sink } = await pass(run.stand, path, FLOWS, rate, run.smoke ? seconds : LOSSLESS_TIMES * seconds);
    return {
      lost: sent.sent - sink.packets,
      "lost of": sent.sent,
      "lost in": sent.seconds,
      "late at 80 %": sink.late,
    };
  },
};

/** The same question as bulk.ts's twoFlows, for packets instead of super-segments. */
export const twoSmallFlows: Part = {
  name: "workers",
  title: "Packets of 64 bytes, two flows, director to sink",
  figures: {
    "small of two": { unit: "thousand/s", better: "more" },
    "late of two": { title: "out of order", unit: "packets", better: "less" },
  },
  needs: [],
  paths: pick(SMALL_PACKETS, "haflinger-1", "haflinger-2"),
  warmUp: 2,
  async measure({ stand }, path, seconds): Promise<Sample> {
    const { sink } = await pass(stand, path, 2, 0, seconds);
    return { "small of two": sink.packets / sink.seconds / 1000, "late of two": sink.late };
  },
};
