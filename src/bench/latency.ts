/** How long a byte takes there and back over a connection that stays, with nothing else on the way, and beside half a load. */
import { setTimeout as sleep } from "node:timers/promises";
import { transfer } from "./bulk.ts";
import { measureOn } from "./namespace-process.ts";
import { type Figure, type Part, pick, type Run, type Sample } from "./part.ts";
import { CONNECTIONS, type Path } from "./paths.ts";
import { startByHand } from "./small.ts";
import { BY_HAND_VIP, CLIENT, ECHO_PORT, pairsOf, type Stand } from "./stand.ts";

/** Time between questions: everybody on the way has gone to sleep again. */
const EVERY_US = 250;
/** The load is there before the first question, and goes on until after the last. */
const LOAD_AHEAD_MS = 300;
const LOAD_LONGER = 0.7;
/** Seconds of the transfer that tells what a whole load is, when upload was not measured. */
const CAPACITY_SECONDS = 1;

interface EchoReport {
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
}

const within = (title: string): Figure => ({ title, unit: "µs", better: "less" });

const ask = ({ stand }: Run, { address }: Path, seconds: number): Promise<EchoReport> =>
  measureOn<EchoReport>(stand, CLIENT, "echo", ["client", address, ECHO_PORT, seconds, EVERY_US]);

async function byHandIf(stand: Stand, { name }: Path): Promise<{ stop(): Promise<unknown> } | null> {
  return name === "by-hand" ? startByHand(stand, BY_HAND_VIP, pairsOf(null)[0].target) : null;
}

export const idleLatency: Part = {
  name: "latency",
  title: "Echo, nothing else going on",
  figures: {
    "idle p50": within("median"),
    "idle p99": within("99 of 100 within"),
    "idle p99.9": within("999 of 1,000 within"),
  },
  needs: [],
  paths: pick(CONNECTIONS, "direct", "haflinger", "haflinger-busy", "haproxy", "nginx", "by-hand"),
  warmUp: 1,
  async measure(run, path, seconds): Promise<Sample> {
    const byHand = await byHandIf(run.stand, path);
    const { p50, p99, p999 } = await ask(run, path, seconds);
    await byHand?.stop();
    return { "idle p50": p50, "idle p99": p99, "idle p99.9": p999 };
  },
};

export const loadedLatency: Part = {
  name: "latency",
  title: "Echo beside an upload at half the path's own rate",
  figures: {
    "half load p50": within("median"),
    "half load p99": within("99 of 100 within"),
    "half load p99.9": within("999 of 1,000 within"),
  },
  needs: ["iperf3"],
  paths: pick(CONNECTIONS, "direct", "haflinger", "haproxy", "nginx"),
  warmUp: 0,
  async measure(run, path, seconds): Promise<Sample> {
    const { stand } = run;
    const most =
      run.medianOf("upload", path.name) ?? (await transfer(stand, path.address, run.smoke ? seconds : CAPACITY_SECONDS));
    const rate = ["-b", `${Math.round((most / 2) * 1e9)}`];
    const load = transfer(stand, path.address, Math.ceil(seconds + LOAD_LONGER), rate);
    // Whichever fails first is what is told.
    load.catch(() => {});
    await sleep(LOAD_AHEAD_MS);
    const { p50, p99, p999 } = await ask(run, path, seconds);
    await load;
    return { "half load p50": p50, "half load p99": p99, "half load p99.9": p999 };
  },
};
