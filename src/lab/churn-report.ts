/** A churn's report for people. */
import type { ChurnReport } from "./churn.ts";
import { textTable } from "./text-table.ts";

/** Lines of faults that are shown; more say nothing new. */
const SHOWN = 20;

const seconds = (at: number): string => `${at.toFixed(1)} s`;

export function renderChurn(r: ChurnReport): string {
  const share = (part: number, all: number, digits = 1): string =>
    all === 0 ? "-" : `${((100 * part) / all).toFixed(digits)} %`;
  const changes = r.changes.map((c) => [seconds(c.at), c.what, c.moved, share(c.moved, c.buckets), c.tookMs]);
  const drains = r.drains.map((d) => [d.host, d.sessions, d.lived]);
  const v = (name: string): number => r.verdicts[name] ?? 0;
  const packets = Object.entries(r.verdicts).filter(([, n]) => n > 0);
  const { tcp, udp } = r.sessions;
  const slowest = Math.max(0, ...r.changes.map((c) => c.tookMs));
  return [
    `flow tables ${r.flowTable ? "on" : "off"}, ${r.seconds} s, drain time ${r.drainSeconds} s`,
    "",
    textTable(["at", "change", "buckets moved", "share", "on every agent after ms"], changes),
    textTable(["draining", "sessions", "lived to the drain time"], drains),
    `${r.changes.length} changes of the hosts, each on every agent within ${slowest} ms; ${r.routed} of the router's set`,
    "",
    textTable(
      ["sessions", "TCP", "UDP"],
      (
        [
          ["opened", "opened"],
          ["broken, host stays", "staying"],
          ["broken, host draining, before its time", "early"],
          ["ended, drain time over", "drained"],
          ["ended, host down", "down"],
          ["could not be opened", "failedToOpen"],
        ] as const
      ).map(([what, name]) => [what, tcp[name], udp[name]]),
    ),
    textTable(
      ["messages", "number"],
      [
        ["answered", r.answered],
        ["datagrams sent", r.datagrams],
        [`datagrams unanswered (${share(r.lostDatagrams, r.datagrams, 3)})`, r.lostDatagrams],
      ],
    ),
    textTable(["packets", "number"], packets),
    textTable(
      ["hops between hosts", "packets"],
      [Math.max(0, v("delivered") - v("forwarded")), ...r.hops].map((n, i) => [i < 4 ? `${i}` : "4 and more", n]),
    ),
    ...(r.faults.length === 0 ? [] : ["faults:", ...r.faults.slice(0, SHOWN)]),
    ...(r.faults.length > SHOWN ? [`... ${r.faults.length} in all`] : []),
    "",
    "",
  ].join("\n");
}
