/** The counters of the agent that this process is, as they are now: mapped once, not read from files as others do (status.ts). */

import type { AgentView } from "../control/attendant.ts";
import { workersOf } from "../control/cpus.ts";
import { askEgressUse, type EgressUse } from "../control/egress-use.ts";
import { tunName } from "../control/own-place.ts";
import { readRules, ruleCountersPath } from "../io/rule-files.ts";
import { countersPath, mapBank, mapControl, mapKept } from "../io/runtime-files.ts";
import { bankBytes, bankOf, bankSerial, controlWords, currentGeneration } from "../shm/control-block.ts";
import {
  type BurstTimes,
  COUNTERS_LAYOUT,
  type CounterSnapshot,
  countersBytes,
  readBurstTimes,
  readCounters,
} from "../shm/counters.ts";
import { type Names, readNames } from "../shm/forwarding-table.ts";
import { RULE_COUNTERS_LAYOUT, type RuleCounts, type RuleSpec, readRuleCounts, ruleCountersBytes } from "../shm/rules.ts";

/** What the kernel is asked for egress IPs is old after so long, ms: connection tracking may be large. */
const EGRESS_MS = 5_000;

export class LiveCounts {
  readonly #view: AgentView;
  readonly #control: Int32Array;
  readonly #counters: ArrayBuffer;
  readonly #ruleCounters: ArrayBuffer;
  /** Of one generation. */
  #known: { generation: number; names: Names; rules: readonly RuleSpec[] } | null = null;
  #snapshot: CounterSnapshot | null = null;
  #egress: Record<string, EgressUse> = {};
  #egressAt = Number.NEGATIVE_INFINITY;
  #asking: Promise<void> | null = null;

  /** The agent must have started. Throws when its files cannot be mapped. */
  constructor(view: AgentView) {
    this.#view = view;
    const workers = workersOf(view.config().io);
    this.#control = controlWords(mapControl(view.runtimeDir, false));
    this.#counters = mapKept(countersPath(view.runtimeDir), countersBytes(workers), COUNTERS_LAYOUT);
    this.#ruleCounters = mapKept(ruleCountersPath(view.runtimeDir), ruleCountersBytes(workers), RULE_COUNTERS_LAYOUT);
  }

  /** The same for all who ask in one turn of the event loop. */
  counters(): CounterSnapshot {
    if (this.#snapshot === null) {
      const { hosts, services } = this.#names();
      this.#snapshot = readCounters(this.#counters, hosts, services);
      setImmediate(() => {
        this.#snapshot = null;
      });
    }
    return this.#snapshot;
  }

  bursts(): BurstTimes[] {
    return readBurstTimes(this.#counters);
  }

  /** What drop rules did, by name. */
  rules(): Record<string, RuleCounts> {
    this.#names();
    return readRuleCounts(this.#ruleCounters, this.#known!.rules);
  }

  /** How much of its slices the host uses, by egress IP, as refresh() found it. */
  egress(): Record<string, EgressUse> {
    return this.#egress;
  }

  /** Asks the kernel for what egress() gives, unless that is less than 5 s old. */
  async refresh(): Promise<void> {
    if (performance.now() - this.#egressAt < EGRESS_MS) return;
    // All who ask meanwhile wait for the same answer.
    this.#asking ??= this.#askEgress().finally(() => {
      this.#asking = null;
    });
    await this.#asking;
  }

  async #askEgress(): Promise<void> {
    const { host, instance } = this.#view.place;
    this.#egress = await askEgressUse(this.#names(), host.name, tunName(instance));
    this.#egressAt = performance.now();
  }

  #names(): Names {
    const generation = currentGeneration(this.#control);
    if (this.#known?.generation !== generation) {
      const bank = bankOf(generation);
      const [serial, bytes] = [bankSerial(this.#control, bank), bankBytes(this.#control, bank)];
      const { runtimeDir } = this.#view;
      const names = readNames(mapBank(runtimeDir, bank, serial, bytes, false));
      this.#known = { generation, names, rules: readRules(runtimeDir).rules };
    }
    return this.#known.names;
  }
}
