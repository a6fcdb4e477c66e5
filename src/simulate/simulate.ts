/** Runs of a modelled cluster: the same events under several policies, and what came of each. */
import { ModelCluster, type ModelSpec, type Policy, type Turn } from "./cluster.ts";
import type { Act, PlannedEvent } from "./plan.ts";

/** First ours; then what it is held against. */
export const POLICIES: readonly Policy[] = [
  { name: "Haflinger", control: true, chains: true },
  { name: "without chains", control: true, chains: false },
  { name: "equal weights", control: false, chains: true },
];

/** A change of the table, or a death: when, why, and what it did. */
export interface Happening extends Turn {
  readonly time: number;
  /** `load`: the controller moved weights. */
  readonly what: Act | "load";
  readonly hosts: number;
}

export interface Sample {
  readonly time: number;
  /** Largest use over the mean. */
  readonly spread: number;
  /** Use of the least and the most used host. */
  readonly least: number;
  readonly most: number;
  /** Flows broken and lost up to now. */
  readonly broken: number;
}

export interface Run {
  readonly policy: string;
  readonly samples: readonly Sample[];
  readonly happenings: readonly Happening[];
  /** Flows that went to hosts which were dead. */
  readonly refused: number;
}

/** What a run is made of. */
export interface Course {
  readonly model: ModelSpec;
  readonly plan: readonly PlannedEvent[];
  /** Seconds between steps of the controller, and when the run ends. */
  readonly interval: number;
  readonly seconds: number;
}

/** One run. `progress` is told how far it is, 0 to 1. */
export function run(
  { model, plan, interval, seconds }: Course,
  policy: Policy,
  progress: (part: number) => void = () => {},
): Run {
  const cluster = new ModelCluster(model, policy);
  const samples: Sample[] = [];
  const happenings: Happening[] = [];
  let refused = 0;
  let broken = 0;
  const note = (time: number, what: Happening["what"], hosts: number, turn: Turn | null): void => {
    if (turn === null) return;
    broken += turn.broken + turn.lost;
    happenings.push({ time, what, hosts, ...turn });
  };
  let next = 0;
  for (let time = 0; time <= seconds; time += interval) {
    for (; next < plan.length && plan[next]!.time <= time; next++) {
      const { time: at, act, hosts } = plan[next]!;
      refused += cluster.advance(at);
      note(at, act, hosts.length, cluster.act(act, hosts));
    }
    refused += cluster.advance(time);
    const uses = cluster.uses();
    samples.push({ time, spread: cluster.spread(), least: Math.min(...uses), most: Math.max(...uses), broken });
    note(time, "load", model.hosts.length, cluster.balance());
    progress(time / seconds);
  }
  return { policy: policy.name, samples, happenings, refused };
}

/** What is told of a run in a line. */
export interface Summary {
  readonly policy: string;
  readonly spread: { readonly first: number; readonly after20: number; readonly end: number; readonly worst: number };
  /** Step at which the spread was 1.05 or less for the first time; null: never. */
  readonly evenAfter: number | null;
  readonly generations: number;
  /** Mean share of buckets that a generation moved, and the least that would have done. */
  readonly moved: number;
  readonly least: number;
  /** Flows cut by steering, cut because their host went away under them, and sent to hosts that were dead. */
  readonly broken: number;
  readonly lost: number;
  readonly refused: number;
}

const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / Math.max(1, values.length);

/** Samples that are the end of a run. */
const LAST = 10;

export function summaryOf({ policy, samples, happenings, refused }: Run): Summary {
  const spreads = samples.map(({ spread }) => spread);
  const even = spreads.findIndex((spread) => spread <= 1.05);
  const late = spreads.slice(Math.min(20, spreads.length - 1));
  return {
    policy,
    spread: {
      first: spreads[0]!,
      after20: late[0]!,
      end: mean(spreads.slice(-LAST)),
      worst: late.reduce((a, b) => Math.max(a, b)),
    },
    evenAfter: even < 0 ? null : even,
    generations: happenings.length,
    moved: mean(happenings.map(({ moved }) => moved)),
    least: mean(happenings.map(({ least }) => least)),
    broken: happenings.reduce((sum, turn) => sum + turn.broken, 0),
    lost: happenings.reduce((sum, turn) => sum + turn.lost, 0),
    refused,
  };
}

/** What all happenings of one kind did on average. */
export interface KindSummary {
  readonly what: Happening["what"];
  readonly count: number;
  readonly moved: number;
  readonly least: number;
  readonly broken: number;
  readonly lost: number;
}

/** Means by kind, in the order in which the kinds first happened. */
export function kindsOf({ happenings }: Run): KindSummary[] {
  const kinds = [...new Set(happenings.map(({ what }) => what))];
  return kinds.map((what) => {
    const all = happenings.filter((one) => one.what === what);
    const of = (field: keyof Turn): number => mean(all.map((one) => one[field]));
    return { what, count: all.length, moved: of("moved"), least: of("least"), broken: of("broken"), lost: of("lost") };
  });
}
