/** The benchmark in the lab: raises the test stand, measures part by part, takes it down. */
import { workersOf } from "../control/cpus.ts";
import { ALONE, type Alone, type AloneName, runAlone } from "./alone.ts";
import { download, twoFlows, upload } from "./bulk.ts";
import { Figures } from "./figures.ts";
import { connections, keepalive } from "./http.ts";
import { idleLatency, loadedLatency } from "./latency.ts";
import { availablePeers, describeMachine, loadNow, type Machine } from "./machine.ts";
import { memory } from "./memory.ts";
import type { Part, Run, Sample } from "./part.ts";
import { LABELS, type Path, type PathName } from "./paths.ts";
import { measurePart } from "./rounds.ts";
import { loss, small, twoSmallFlows } from "./small.ts";
import { isKnown, type Pair, pairsOf, raiseStand } from "./stand.ts";
import { findTool, howToGet } from "./tools.ts";

/** In the order in which they are measured and shown. */
export const PARTS: readonly Part[] = [
  upload,
  download,
  keepalive,
  connections,
  small,
  loss,
  idleLatency,
  loadedLatency,
  twoFlows,
  twoSmallFlows,
  memory,
];

/** What --only may name: parts in the lab, and the benchmarks without it. */
export const PART_NAMES: readonly string[] = [...new Set(PARTS.map(({ name }) => name)), ...ALONE];
export const PEERS = ["direct", "haproxy", "nginx", "by-hand", "floor"] as const;

/** To which of PEERS a path belongs; null: it is ours. */
const PEER_OF: Readonly<Partial<Record<PathName, (typeof PEERS)[number]>>> = {
  direct: "direct",
  haproxy: "haproxy",
  "haproxy-splice": "haproxy",
  nginx: "nginx",
  "by-hand": "by-hand",
  floor: "floor",
  "floor-1": "floor",
};

const HOW_TO_GET: Readonly<Record<string, string>> = {
  haproxy: howToGet("haproxy"),
  nginx: "nginx with its stream module is missing: hafl bench lab --install, or apt-get install nginx-light libnginx-mod-stream",
  "by-hand": "cap and raw-socket are missing: hafl bench lab --install",
};

export interface LabOptions {
  readonly rounds: number;
  readonly seconds: number;
  /** null: what the agents choose by themselves. */
  readonly workers: number | null;
  readonly only: readonly string[];
  readonly peers: readonly string[];
  readonly smoke: boolean;
}

/** How figures came about. */
export interface RunNote {
  readonly machine: Machine;
  readonly rounds: number;
  readonly seconds: number;
  /** Of each agent, where nothing else is said. */
  readonly workers: number;
  /** What was measured, in words of --only. */
  readonly measured: readonly string[];
  /** What was left out, and why, a line each. */
  readonly leftOut: readonly string[];
  /** Load average just before each part. */
  readonly loads: readonly number[];
  readonly minutes: number;
}

export interface LabResult {
  readonly figures: Figures;
  readonly alone: Alone;
  /** One, or as many as were put together (saved.ts): then each part is of one of them, all its rounds. */
  readonly runs: readonly [RunNote, ...RunNote[]];
}

/** Says what is going on, a line at a time. */
type Say = (line: string) => void;

interface Plan {
  readonly parts: readonly { readonly part: Part; readonly paths: readonly Path[] }[];
  readonly pairs: readonly Pair[];
  readonly peers: ReadonlySet<string>;
  readonly leftOut: readonly string[];
}

/** What is to be measured on this machine: parts, and paths of each. */
function planParts({ only, peers: wanted, workers, smoke }: LabOptions): Plan {
  const leftOut = new Set<string>();
  const available = availablePeers();
  for (const peer of wanted) if (peer in HOW_TO_GET && !available.has(peer)) leftOut.add(HOW_TO_GET[peer]!);
  const peers = new Set(wanted.filter((peer) => !(peer in HOW_TO_GET) || available.has(peer)));
  const pairs = pairsOf(workers);
  const unknown = pairs.filter((pair) => !isKnown(pair)).map(({ director }) => director);
  const usable = (path: Path): boolean => {
    const peer = PEER_OF[path.name];
    if (peer !== undefined) return peers.has(peer);
    if (!path.through.some((host) => unknown.includes(host))) return true;
    leftOut.add(`${LABELS[path.name]}: this version does not know io.busyPollUs`);
    return false;
  };
  const parts = PARTS.filter(({ name }) => only.includes(name)).flatMap((part) => {
    const missing = part.needs.filter((name) => findTool(name) === null);
    for (const name of missing) leftOut.add(`${part.name}: ${howToGet(name)}`);
    const paths = part.paths.filter(usable);
    // The others are seen to work in parts that are much the same.
    if (smoke && (part === download || part === loadedLatency)) paths.splice(2);
    if (part === loss && !(only.includes(small.name) && peers.has("floor"))) {
      leftOut.add(
        "loss: the rate is one of the floor's, which is measured with small (--only small,loss, and floor among --peers)",
      );
      return [];
    }
    return missing.length > 0 || paths.length === 0 ? [] : [{ part, paths }];
  });
  const hosts = new Set(parts.flatMap(({ paths }) => paths.flatMap(({ through }) => through)));
  return {
    parts,
    // Hosts are numbered, so that those before the last are there anyway.
    pairs: pairs.filter(({ director, target }) => hosts.has(director) || hosts.has(target)),
    peers,
    leftOut: [...leftOut],
  };
}

/** What the numbers of a sample are. */
const headings = ({ figures }: Part): string[] =>
  Object.values(figures).map(({ title, unit }) => (title === undefined ? unit : `${title}, ${unit}`));

const shown = (sample: Sample): string =>
  Object.values(sample)
    .map((n) => (Number.isInteger(n) ? `${n}` : n.toPrecision(4)))
    .join(" / ");

async function measureParts(plan: Plan, options: LabOptions, figures: Figures, loads: number[], signal: AbortSignal, say: Say) {
  const { parts, pairs, peers } = plan;
  if (parts.length === 0) return;
  say(`raising the test stand: ${pairs.length} pairs of director and target, ${[...peers].join(", ")}`);
  const stand = await raiseStand(pairs, peers, signal);
  try {
    const medianOf = (figure: string, path: PathName): number | undefined => figures.medianOf(figure, path);
    const run: Run = { stand, seconds: options.seconds, smoke: options.smoke, medianOf };
    for (const { part, paths } of parts) {
      loads.push(loadNow());
      say(`${part.name}: ${part.title} (${headings(part).join(" / ")})`);
      await measurePart(part, paths, run, options.rounds, peers.has("haproxy"), figures, (round, path, sample) =>
        say(`  round ${round + 1} of ${part.once ? 1 : options.rounds}  ${LABELS[path.name].padEnd(26)} ${shown(sample)}`),
      );
    }
  } finally {
    say("taking the test stand down");
    await stand.down();
  }
}

async function measureAlone({ only, smoke }: LabOptions, signal: AbortSignal, say: Say): Promise<Alone> {
  const alone: Partial<Record<AloneName, Alone[AloneName]>> = {};
  for (const name of ALONE.filter((one) => only.includes(one))) {
    signal.throwIfAborted();
    say(`${name}, in a process of its own`);
    alone[name] = await runAlone(name, smoke, signal);
  }
  return alone;
}

/** Runs it all. Throws when a measurement fails; nothing is left behind then either. */
export async function runBenchLab(options: LabOptions, signal: AbortSignal, say: Say): Promise<LabResult> {
  const begun = performance.now();
  const machine = describeMachine();
  const plan = planParts(options);
  for (const text of plan.leftOut) say(`left out: ${text}`);
  const figures = new Figures();
  const loads: number[] = [];
  const alone = await measureAlone(options, signal, say);
  await measureParts(plan, options, figures, loads, signal, say);
  const note: RunNote = {
    machine,
    rounds: options.rounds,
    seconds: options.seconds,
    workers: options.workers ?? workersOf({ workers: "auto", cpus: null }),
    measured: [...Object.keys(alone), ...new Set(plan.parts.map(({ part }) => part.name))],
    leftOut: plan.leftOut,
    loads,
    minutes: (performance.now() - begun) / 60_000,
  };
  return { figures, alone, runs: [note] };
}
