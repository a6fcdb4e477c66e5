/** Metrics of what the host has to do with its cluster: the store that it follows, its load, and the conductor, if that is here. */
import type { ConductorState } from "../conductor/conductor.ts";
import type { HostLoad } from "../load/meter.ts";
import type { Applied } from "../store/follower.ts";
import { type Family, type Sample, single } from "./family.ts";

/** Of a host that follows a store. */
export const storeFamilies = (applied: () => Applied): Family[] => [
  single("gauge", "hafl_store_change", "Change of the wanted state that is applied", () => applied().change),
  single("gauge", "hafl_store_revision", "Revision of the store that was seen last", () => applied().revision),
  single(
    "gauge",
    "hafl_store_age_seconds",
    "For how long the store was not known to have nothing newer than what is applied",
    () => applied().ageSeconds,
  ),
  single("gauge", "hafl_store_refused", "Whether something in the store is refused; the log says what and why", () =>
    applied().refused === null ? 0 : 1,
  ),
  {
    name: "hafl_pool_serial",
    help: "Serial of the generations of a pool that are applied, as the conductor counts them",
    type: "gauge",
    labels: ["pool"],
    read: () => Object.entries(applied().serials).map(([pool, serial]): Sample => [serial, pool]),
  },
];

/** Of a host whose load is measured; null: not known yet. */
export const loadFamilies = (load: () => HostLoad | null): Family[] => [
  {
    name: "hafl_load_ratio",
    help: "Use of the CPUs, and share of time in which work waited for one, 0 to 1",
    type: "gauge",
    labels: ["of"],
    read: () => {
      const now = load();
      return now === null
        ? []
        : [
            [now.cpu, "cpu"],
            [now.pressure, "pressure"],
          ];
    },
  },
  {
    name: "hafl_service_load_ratio",
    help: "What a service's own measure of its load says, 1 is full",
    type: "gauge",
    labels: ["service"],
    read: () => Object.entries(load()?.services ?? {}).map(([service, value]): Sample => [value, service]),
  },
];

/** Of a host that stands for election. */
export function conductorFamilies(state: () => ConductorState): Family[] {
  const pool = (name: string, help: string, of: (pool: ConductorState["decisions"][string]) => number): Family => ({
    name: `hafl_conductor_${name}`,
    help,
    type: "gauge",
    labels: ["pool"],
    read: () => Object.entries(state().decisions).map(([name, decisions]): Sample => [of(decisions), name]),
  });
  return [
    single("gauge", "hafl_conductor", "Whether this process conducts", () => (state().role === "conductor" ? 1 : 0)),
    single("gauge", "hafl_conductor_candidate", "Whether this process stands for election, or conducts", () =>
      state().role === "off" ? 0 : 1,
    ),
    single("gauge", "hafl_conductor_store_answers", "Whether the store answered the candidate when it was asked last", () =>
      state().storeAnswers ? 1 : 0,
    ),
    single("counter", "hafl_conductor_elections_total", "How often this process was elected", () => state().elections),
    single(
      "counter",
      "hafl_conductor_rejected_total",
      "Writes of this process that were rejected because another one conducts",
      () => state().rejected,
    ),
    single("counter", "hafl_conductor_written_total", "Generations that this process wrote", () => state().written),
    single(
      "gauge",
      "hafl_conductor_alarms",
      "Alarms while this process conducts; the log says which",
      () => state().alarms.length,
    ),
    pool("frozen", "Whether a pool is frozen, while this process conducts", ({ frozen }) => (frozen === null ? 0 : 1)),
    pool(
      "hosts_down",
      "Hosts of a pool that are held down, while this process conducts",
      ({ hosts }) => Object.values(hosts).filter(({ up }) => !up).length,
    ),
  ];
}
