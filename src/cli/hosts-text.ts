/** The hosts of a cluster for people: a table, and below it all that is not as it should be. */
import { textTable } from "../lab/text-table.ts";
import type { ClusterOverview, HostView, ServiceView } from "./hosts-view.ts";

const percent = (share: number): string => `${Math.round(share * 100)} %`;

function serviceCell({ name, healthy, takes }: ServiceView): string {
  const health = healthy === null ? "?" : healthy ? "ok" : "ill";
  return `${name} ${health}${takes === false ? ", no new flows" : ""}`;
}

function row({ name, state, weight, report, services }: HostView): string[] {
  const told =
    report === null
      ? ["-", "-", "-", "-", "-", "-"]
      : [
          String(report.change),
          `${report.ageSeconds.toFixed(1)} s`,
          String(report.generation),
          report.flows.toLocaleString("en"),
          report.load === null ? "-" : `${percent(report.load.cpu)} / ${percent(report.load.pressure)}`,
          report.announced.length === 0 ? "-" : report.announced.join(" "),
        ];
  return [name, state, String(weight), ...told, services.map(serviceCell).join("; ") || "-"];
}

const HEADER = ["host", "state", "weight", "change", "age", "generation", "flows", "cpu / waiting", "routes", "services"];

/** Lines for what is not as it should be with a host. */
function troubles({ name, report, services, state }: HostView, { change, shared }: ClusterOverview): string[] {
  const own =
    report === null
      ? [state === "down" || !shared ? "" : "no report: its agent does not run, or does not reach the store"]
      : [
          ...(report.change === change ? [] : [`goes by change ${report.change}, wanted is ${change}`]),
          ...(report.refused === null ? [] : [`refuses what the store has: ${report.refused}`]),
          ...Object.entries(report.problems).map(([source, text]) => `${source}: ${text}`),
        ];
  const ill = services.filter(({ reason }) => reason !== "").map((service) => `${service.name}: ${service.reason}`);
  return [...own.filter((line) => line !== ""), ...ill].map((line) => `${name}: ${line}`);
}

export function overviewText(view: ClusterOverview): string {
  const { conductor, shared } = view;
  const alone = "each host by itself: only what runs on this machine is seen";
  const who = !shared ? alone : conductor === null ? "nobody conducts" : `${conductor.host} conducts (pid ${conductor.pid})`;
  const lines = [
    ...Object.entries(view.frozen).map(([pool, why]) => `${pool} is frozen: ${why}`),
    ...view.alarms.map((alarm) => `alarm: ${alarm}`),
    ...view.refused.map((line) => `refused: ${line}`),
    ...view.hosts.flatMap((host) => troubles(host, view)),
  ];
  const trouble = lines.length === 0 ? "" : `\n${lines.join("\n")}\n`;
  return `cluster ${view.cluster}, change ${view.change}, ${who}\n\n${textTable(HEADER, view.hosts.map(row))}${trouble}`;
}
