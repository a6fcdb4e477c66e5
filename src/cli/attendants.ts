/** What lives beside the data plane of an agent that `hafl run` starts. */
import { ConductorAttendant } from "../conductor/attendant.ts";
import type { AgentView, Attendant, AttendantFactory } from "../control/attendant.ts";
import type { Endpoint } from "../control/config-metrics.ts";
import { FitnessLog } from "../control/fitness-log.ts";
import { flowsLeft } from "../control/flows-left.ts";
import { OwnedFlows } from "../control/owned-flows.ts";
import { reportsTo, type supervisionOf } from "../control/service-manager.ts";
import { VERSION } from "../control/version.ts";
import { OwnChecks } from "../health/own-checks.ts";
import { Prober } from "../health/prober.ts";
import { SelfCheck } from "../health/self-check.ts";
import { LoadMeter } from "../load/meter.ts";
import { conductorFamilies, loadFamilies, storeFamilies } from "../metrics/cluster.ts";
import { MetricsServer } from "../metrics/server.ts";
import { ReportReader } from "../routes/reports.ts";
import { Routes } from "../routes/routes.ts";
import type { HostReport } from "../store/records.ts";
import { Reporter } from "../store/reporter.ts";
import type { Following } from "./config-source.ts";

export interface Beside {
  /** Path of the config file. */
  readonly config: string;
  /** BIRD's control socket and where metrics are served, in place of the config's. */
  readonly bird: string | undefined;
  readonly metrics: Endpoint | "off" | undefined;
  /** The store that the agent follows; null: it has none but its file. */
  readonly following: Following | null;
  readonly supervision: ReturnType<typeof supervisionOf>;
}

function reporter(view: AgentView, { store, keys, follower }: Following, load: () => HostReport["load"]): Reporter {
  const { name } = view.place.host;
  const owned = new OwnedFlows(view.runtimeDir, name);
  const flows = (): Promise<number> => {
    const config = view.config();
    const isLeaving = config.hosts.find((host) => host.name === name)?.state !== "active";
    return isLeaving ? flowsLeft(config, process.pid, owned) : owned.count();
  };
  const made = new Reporter(view, store, keys, {
    version: VERSION,
    applied: () => follower.applied,
    load,
    flows,
  });
  follower.onMove(made.now);
  return made;
}

/** A store that hangs does not keep the agent from ending: the others give up and take back there, one after the other. */
function haste({ store }: Following): Attendant {
  const hurry = (): void => store.hurry();
  return { name: "store", start: () => {}, leaving: hurry, stop: hurry };
}

export function attendantsOf({ config, bird, metrics, following, supervision }: Beside): AttendantFactory[] {
  let meter: LoadMeter | null = null;
  let candidate: ConductorAttendant | null = null;
  const reports = following === null ? null : new ReportReader(following.store, following.keys);
  const shown = [
    ...loadFamilies(() => meter?.current() ?? null),
    ...(following === null ? [] : storeFamilies(() => following.follower.applied)),
    ...(following === null ? [] : conductorFamilies(() => candidate!.state)),
  ];
  const always: AttendantFactory[] = [
    (view) => {
      meter = new LoadMeter(view);
      return meter;
    },
    (view) => new Routes(view, { socket: bird, reports }),
    (view) => new FitnessLog(view),
    (view) => new MetricsServer(view, { listen: metrics === "off" ? null : metrics, more: shown }),
  ];
  const health: AttendantFactory[] = [
    (view) => new OwnChecks(view),
    (view) => new SelfCheck(view, { storeAge: () => following?.follower.applied.ageSeconds ?? null }),
  ];
  const ofStore: AttendantFactory[] =
    following === null
      ? []
      : [
          () => haste(following),
          (view) => {
            candidate = new ConductorAttendant(view, following, config);
            return candidate;
          },
          (view) => new Prober(view, following.store, () => following.follower.away),
          (view) => reporter(view, following, () => meter?.current() ?? null),
        ];
  return [...health, ...ofStore, ...always, ...(supervision === null ? [] : [reportsTo(supervision)])];
}
