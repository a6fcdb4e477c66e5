/** A churn's report for people. */
import type { ChurnReport } from "./churn.ts";
import { textTable } from "./text-table.ts";

/** Lines of faults that are shown; more say nothing new. */
const SHOWN = 20;

const seconds = (at: number): string => `${at.toFixed(1)} s`;

export function renderChurn(r: ChurnReport): string {
  const share = (moved: number, buckets: number): string => (buckets === 0 ? "-" : `${((100 * moved) / buckets).toFixed(1)} %`);
  const changes = r.changes.map((c) => [seconds(c.at), c.what, c.moved, share(c.moved, c.buckets), c.tookMs]);
  const drains = r.drains.map((d) => [d.host, d.sessions, d.lived]);
  const v = (name: string): number => r.verdicts[name] ?? 0;
  const packets = Object.entries(r.verdicts).filter(([, n]) => n > 0);
  return [
    `flow tables ${r.flowTable ? "on" : "off"}, ${r.seconds} s, drain time ${r.drainSeconds} s`,
    "",
    textTable(["at", "change", "buckets moved", "share", "on every agent after ms"], changes),
    textTable(["draining", "sessions", "lived to the drain time"], drains),
    textTable(
      ["sessions", "number"],
      [
        ["opened", r.opened],
        ["broken, host stays", r.broken.staying],
        ["broken, host draining, before its time", r.broken.early],
        ["ended, drain time over", r.broken.drained],
        ["ended, host down", r.broken.down],
        ["could not be opened", r.failedToOpen],
        ["messages answered", r.answered],
        ["datagrams unanswered", r.lostDatagrams],
      ],
    ),
    textTable(["packets", "number"], packets),
    `hops between hosts: none ${Math.max(0, v("delivered") - v("forwarded")).toLocaleString("en")}, at least one ${v("forwarded").toLocaleString("en")}, further ones ${v("next_hop").toLocaleString("en")}`,
    ...(r.faults.length === 0 ? [] : ["faults:", ...r.faults.slice(0, SHOWN)]),
    ...(r.faults.length > SHOWN ? [`... ${r.faults.length} in all`] : []),
    "",
    "",
  ].join("\n");
}
