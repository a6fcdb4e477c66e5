/** A simulation as text. */
import { textTable } from "../lab/text-table.ts";
import type { Scenario } from "./plan.ts";
import { type Course, kindsOf, type Run, type Summary, summaryOf } from "./simulate.ts";

const share = (x: number): string => `${(100 * x).toFixed(2)} %`;
const ratio = (x: number): string => x.toFixed(3);
const few = (x: number): number => (x >= 10 ? Math.round(x) : Number(x.toFixed(1)));

const KINDS = {
  load: "weights follow load",
  drain: "hosts drained",
  down: "hosts taken out",
  up: "hosts back",
  dies: "hosts die",
} as const;

/** Tables: spread of use and connections by policy; what each kind of change did. */
export function simulationText(scenario: Scenario, { model, interval, seconds }: Course, runs: readonly Run[]): string {
  const head = [
    `${scenario}: ${count(model.hosts.length)} hosts, ${count(model.flows)} flows of ${model.lifetime} s, ${count(model.buckets)} buckets, seed ${model.seed}`,
    `${Math.round(seconds / 60)} minutes, a step of the controller every ${interval} s, drain ${model.drainSeconds} s, skew ${model.skew}, noise ${model.noise}, delay ${model.delay}`,
  ];
  const summaries = runs.map(summaryOf);
  return [
    `${head.join("\n")}\n`,
    textTable(
      ["use, largest / mean", "start", "step 20", "end", "worst after 20", "<= 1.05 from step"],
      summaries.map(({ policy, spread, evenAfter }) => [
        policy,
        ratio(spread.first),
        ratio(spread.after20),
        ratio(spread.end),
        ratio(spread.worst),
        evenAfter === null ? "never" : String(evenAfter),
      ]),
    ),
    textTable(
      [
        "connections",
        "generations",
        "buckets moved each",
        "needed",
        "broken by steering",
        "lost with a host",
        "sent to the dead",
      ],
      summaries.map((s) => [s.policy, s.generations, share(s.moved), share(s.least), s.broken, s.lost, s.refused]),
    ),
    textTable(
      ["change", "policy", "times", "buckets moved", "needed", "broken each", "lost each"],
      runs.flatMap((run) =>
        kindsOf(run).map((k) => [KINDS[k.what], run.policy, k.count, share(k.moved), share(k.least), few(k.broken), few(k.lost)]),
      ),
    ),
    `${comparison(summaries)}\n`,
  ].join("\n");
}

const count = (n: number): string => n.toLocaleString("en");

/** Connections cut, broken or lost, under each policy that is compared; `times`: how many times fewer chains let it be. */
export function cutByChains(summaries: readonly Summary[]): {
  readonly chains: number;
  readonly without: number;
  readonly times: number;
} {
  const cut = (policy: string): number => {
    const { broken, lost } = summaries.find((one) => one.policy === policy)!;
    return broken + lost;
  };
  const [chains, without] = [cut("Haflinger"), cut("without chains")];
  return { chains, without, times: without / Math.max(1, chains) };
}

function comparison(summaries: readonly Summary[]): string {
  const { chains, without, times } = cutByChains(summaries);
  const fewer = chains > 0 ? `: ${count(few(times))} times fewer` : "";
  return `Connections cut, broken or lost: ${count(chains)} with chains, ${count(without)} without${fewer}.`;
}
