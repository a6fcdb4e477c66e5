/** The cluster lab: raised, put through everything that can happen to a cluster, judged, and taken down. */
import { setTimeout as sleep } from "node:timers/promises";
import { guardLab } from "../guard.ts";
import { labDown, type Progress } from "../lab.ts";
import { claimLab } from "../state.ts";
import type { LabSpec } from "../topology.ts";
import { expect, type Verdict, Verdicts } from "../verdicts.ts";
import { CLUSTER_EVENTS, type ClusterEvent } from "./cluster-events.ts";
import { ClusterLab } from "./cluster-lab.ts";
import { ClusterLoad, type Harm } from "./cluster-load.ts";

/** What broke by an event may show a little later; and one event is over before the next one begins. */
const SETTLE_MS = 3_000;
/** Sessions begin within two seconds. */
const OPENING_MS = 4_000;

/** Lets a thing happen. Throws what was not as it should be. */
async function happen({ harms, avoidedMs, act }: ClusterEvent, lab: ClusterLab, load: ClusterLoad): Promise<string> {
  const earlier = load.harm();
  const open = load.open();
  const begun = Date.now();
  let wrong: string | null = null;
  let figures = "";
  try {
    figures = await act(lab, load);
  } catch (error) {
    wrong = (error as Error).message;
  }
  await sleep(SETTLE_MS);
  const harm = load.harm();
  const unexcused = [...earlier.lines, ...harm.lines.filter(({ host }) => !harms.includes(host))];
  const late = avoidedMs === null ? [] : harm.failedRequests.filter(({ startedAt }) => startedAt > begun + avoidedMs);
  const told = ({ text, opened, at }: Harm["lines"][number]): string =>
    `${text}, opened ${((opened - begun) / 1000).toFixed(1)} s and broken ${((at - begun) / 1000).toFixed(1)} s after the beginning`;
  const broken = Object.entries(harm.broken).map(([host, n]) => `${n} of ${host}`);
  const counts = `${open} sessions were open; broken: ${broken.join(", ") || "none"}; not opened: ${harm.notOpened}; requests failed: ${harm.failedRequests.length} of ${harm.requests}`;
  expect(wrong === null, `${wrong} (${counts})`);
  expect(
    unexcused.length === 0,
    `${unexcused.length} sessions of other hosts broke: ${unexcused.map(told).join("; ")} (${figures}; ${counts})`,
  );
  expect(late.length === 0, `${late.length} requests failed later than it may be: ${late[0]?.error} (${figures}; ${counts})`);
  return `${figures}; ${counts}`;
}

/**
 * Raises a lab of its own, lets everything happen that is named in `only` (all, unless given), takes it down. Throws when the lab cannot
 * be raised; what fails then is a verdict.
 */
export async function runCluster(
  spec: LabSpec,
  only: readonly number[] | null,
  progress: Progress,
  signal?: AbortSignal,
): Promise<readonly Verdict[]> {
  claimLab(spec.name);
  const guard = guardLab(spec.name);
  const verdicts = new Verdicts(progress);
  try {
    const lab = await ClusterLab.raise(spec, progress, signal);
    const load = new ClusterLoad(spec);
    try {
      await sleep(OPENING_MS, undefined, { signal });
      for (const [i, event] of CLUSTER_EVENTS.entries()) {
        if (only !== null && !only.includes(i + 1)) continue;
        signal?.throwIfAborted();
        await verdicts.step(event.what, () => happen(event, lab, load));
      }
    } finally {
      await load.stop();
    }
    return verdicts.list;
  } finally {
    progress("taking the lab down");
    await labDown(spec.name);
    await guard.release();
  }
}
