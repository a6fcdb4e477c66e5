/** A cluster of the imagination for the conductor's decisions: what is true of its hosts, what is seen of that, and time that passes. */

import { type Decisions, decide, type Outcome } from "../../src/conductor/decide.ts";
import type { Seen, Sightings } from "../../src/conductor/evidence.ts";
import type { Config } from "../../src/control/config.ts";
import type { Generation } from "../../src/steering/generations.ts";
import { type HostReport, type ProbesRecord, readRecord, writeRecord } from "../../src/store/records.ts";
import { configOf } from "./fixture.ts";

export interface HostTruth {
  /** As the operator wants it. */
  state: "active" | "draining" | "down";
  weight: number;
  /** Its service answers. */
  serves: boolean;
  /** The agent writes reports and probes; its packets reach the others, and theirs reach it. */
  reports: boolean;
  reachable: boolean;
  /** What it finds wrong with itself. */
  problems: Record<string, string>;
}

export const STEP_MS = 250;

export class World {
  readonly hosts = new Map<string, HostTruth>();
  now = 1_700_000_000_000;
  settled = true;
  conductor = "{}";
  drainSeconds = 60;
  factors: Record<string, number> = {};
  /** Of the records with which the world goes on, all comes from what was written. */
  decisions: Decisions = {};
  pools = new Map<string, readonly Generation[]>();
  #config: { text: string; config: Config } | null = null;
  readonly #reported = new Map<string, Seen<HostReport>>();
  readonly #probed = new Map<string, Seen<ProbesRecord>>();

  constructor(names: string) {
    for (const name of names)
      this.hosts.set(name, { state: "active", weight: 1, serves: true, reports: true, reachable: true, problems: {} });
  }

  host(name: string): HostTruth {
    return this.hosts.get(name)!;
  }

  config(): Config {
    const lines = [...this.hosts].map(
      ([name, { state, weight }], i) => `  - { name: ${name}, dip: 10.0.0.${i + 1}, state: ${state}, weight: ${weight} }`,
    );
    const text = `cluster: t
seed: 000102030405060708090a0b0c0d0e0f
hosts:
${lines.join("\n")}
services: [{ name: web, vips: [192.0.2.1], ports: { tcp: any } }]
table: { size: 101, drainSeconds: ${this.drainSeconds} }
conductor: ${this.conductor}
`;
    if (this.#config?.text !== text) this.#config = { text, config: configOf(text) };
    return this.#config.config;
  }

  /** What there is to be seen now; who cannot report any more is forgotten at once, as if its lease were over. */
  sightings(): Sightings {
    for (const [name, truth] of this.hosts) {
      if (!truth.reports) {
        this.#reported.delete(name);
        this.#probed.delete(name);
        continue;
      }
      this.#reported.set(name, { record: reportOf(name, truth), at: this.now });
      this.#probed.set(name, { record: this.#probesOf(name, truth), at: this.now });
    }
    return { reports: this.#reported, probes: this.#probed };
  }

  #probesOf(name: string, truth: HostTruth): ProbesRecord {
    const hosts = Object.fromEntries(
      [...this.hosts]
        .filter(([other]) => other !== name)
        .map(([other, { serves, reachable }]) => {
          const healthy = serves && reachable && truth.reachable;
          return [other, { web: { healthy, reason: healthy ? "" : "no answer" } }];
        }),
    );
    return { format: 1, host: name, when: 0, hosts };
  }

  /** Decides once, as it is now, and goes on from that. */
  decide(): Outcome {
    const { now, settled } = this;
    const view = { config: this.config(), sightings: this.sightings(), factors: { web: this.factors }, settled, now };
    const outcome = decide(view, this.decisions, this.pools);
    this.decisions = outcome.decisions;
    this.pools = new Map(outcome.pools);
    return outcome;
  }

  /** Lets time pass in steps. Gives what was decided in each. */
  pass(ms: number): Outcome[] {
    const outcomes: Outcome[] = [];
    for (const end = this.now + ms; this.now < end; ) {
      this.now += STEP_MS;
      outcomes.push(this.decide());
    }
    return outcomes;
  }

  /** Another conductor takes over, with no more than what lies in the store. */
  handOver(): void {
    const decisions = writeRecord("decisions", {
      time: this.now,
      serial: 1,
      by: "a",
      pools: this.decisions,
      turnedBack: null,
      alarms: [],
    });
    const read = readRecord("decisions", "decisions", decisions);
    if ("error" in read) throw new Error(read.error);
    this.decisions = read.record.pools;
    this.pools = new Map(
      [...this.pools].map(([service, list]) => {
        const generations = [...list] as { -readonly [K in keyof Generation]: Generation[K] }[];
        const value = { service, serial: 1, change: 1, by: "a", why: "", generations };
        const again = readRecord("generations", service, JSON.stringify({ format: 1, ...value }));
        if ("error" in again) throw new Error(again.error);
        return [service, again.record.generations as Generation[]];
      }),
    );
  }

  /** Hosts that get new connections, with weights other than 1. */
  taking(): string {
    return this.pools
      .get("web")![0]!
      .hosts.filter(({ weight }) => weight > 0)
      .map(({ name, weight }) => (weight === 1 ? name : `${name}${weight}`))
      .join("");
  }
}

const reportOf = (host: string, { serves, problems }: HostTruth): HostReport => ({
  format: 1,
  host,
  when: 0,
  version: "0.1.0",
  change: 1,
  generation: 1,
  ageSeconds: 0,
  serials: {},
  refused: null,
  problems,
  services: { web: { healthy: serves, reason: serves ? "" : "connection refused" } },
  load: { cpu: 0, pressure: 0, services: {} },
  flows: 0,
  announced: [],
});
