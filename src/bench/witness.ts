/** Sees to it that a measurement measured what it says: by what devices, agents and HAProxy counted meanwhile. */
import { readStatus } from "../control/status.ts";
import { runtimeDir } from "../lab/state.ts";
import { runOn } from "./namespace-process.ts";
import type { Path, PathName } from "./paths.ts";
import { type HaproxyCounts, haproxyCounts } from "./peers.ts";
import { ROUTER, type Stand } from "./stand.ts";

/** Packets that may come past by chance: neighbours asking for each other's addresses, a connection that ends late. */
const CHANCE = 200;
/** ... and of those that were measured. */
const CHANCE_SHARE = 0.01;

export interface Counts {
  /** Packets on the router's link to each host, both directions. */
  readonly links: Readonly<Record<string, number>>;
  /** Packets that each agent forwarded and delivered. */
  readonly agents: Readonly<Record<string, { readonly forwarded: number; readonly delivered: number }>>;
  readonly haproxy: HaproxyCounts | null;
}

interface Link {
  readonly ifname: string;
  readonly stats64: Readonly<Record<"rx" | "tx", { readonly packets: number }>>;
}

async function takeCounts(stand: Stand, haproxy: boolean): Promise<Counts> {
  const links = JSON.parse(await runOn(stand, ROUTER, ["ip", "-j", "-s", "link", "show"])) as Link[];
  const agents = stand.pairs.flatMap(({ director, target }) => [director, target]);
  return {
    links: Object.fromEntries(links.map(({ ifname, stats64: s }) => [ifname, s.rx.packets + s.tx.packets])),
    agents: Object.fromEntries(
      agents.map((node) => {
        const { forwarded, delivered } = readStatus(runtimeDir(stand.lab, node)).verdicts;
        return [node, { forwarded: forwarded ?? 0, delivered: delivered ?? 0 }];
      }),
    ),
    haproxy: haproxy ? await haproxyCounts(stand.lab) : null,
  };
}

/** What is wrong with the path that packets took, by counts before and after; null when it is as it should be. */
export function complaint(path: Path, hosts: readonly string[], before: Counts, after: Counts): string | null {
  return (
    strayComplaint(path, hosts, before, after) ?? agentComplaint(path, before, after) ?? haproxyComplaint(path, before, after)
  );
}

function strayComplaint(path: Path, hosts: readonly string[], before: Counts, after: Counts): string | null {
  const passed = (host: string): number => after.links[host]! - before.links[host]!;
  const least = Math.min(...path.through.map(passed));
  if (least === 0) return `no packets passed ${path.through.find((host) => passed(host) === 0)}`;
  const stray = hosts.find((host) => !path.through.includes(host) && passed(host) > CHANCE + CHANCE_SHARE * least);
  return stray === undefined ? null : `${passed(stray)} packets passed ${stray}`;
}

function agentComplaint(path: Path, before: Counts, after: Counts): string | null {
  for (const [node, now] of Object.entries(after.agents)) {
    const forwarded = now.forwarded - before.agents[node]!.forwarded;
    const delivered = now.delivered - before.agents[node]!.delivered;
    if (path.forwards === node ? forwarded === 0 : forwarded > CHANCE)
      return `the agent of ${node} forwarded ${forwarded} packets`;
    if (path.delivers === node ? delivered === 0 : delivered > CHANCE)
      return `the agent of ${node} delivered ${delivered} packets`;
  }
  return null;
}

function haproxyComplaint(path: Path, { haproxy: before }: Counts, { haproxy: after }: Counts): string | null {
  if (before === null || after === null) return null;
  const moved = Object.entries(after.bytes).filter(([name, bytes]) => bytes > (before.bytes[name] ?? 0));
  const wrong = moved.find(([name]) => name !== path.name);
  if (wrong !== undefined) return `HAProxy's ${wrong[0]} moved bytes`;
  if (path.name in after.bytes && moved.length === 0) return "HAProxy moved no bytes";
  const splices = path.name === ("haproxy-splice" satisfies PathName);
  if (after.spliced > before.spliced !== splices) return splices ? "HAProxy spliced nothing" : "HAProxy spliced";
  return null;
}

/** Runs a measurement of a path. Throws when packets did not go where they should have. */
export async function witnessed<T>(stand: Stand, path: Path, haproxy: boolean, measure: () => Promise<T>): Promise<T> {
  const before = await takeCounts(stand, haproxy);
  const result = await measure();
  const after = await takeCounts(stand, haproxy);
  const wrong = complaint(path, stand.hosts, before, after);
  if (wrong !== null) throw new Error(`${path.name}: this was not its path: ${wrong}`);
  return result;
}
