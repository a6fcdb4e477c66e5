/** Probes the services of other hosts through the tunnel, and writes into the store what it found. */
import { createHash } from "node:crypto";
import type { AgentView, Attendant } from "../control/attendant.ts";
import type { Config, HostConfig, ServiceConfig } from "../control/config.ts";
import { readSysctl } from "../control/host-state.ts";
import { clusterKeys } from "../store/keys.ts";
import { LeasedRecord } from "../store/leased-record.ts";
import { type ProbesRecord, writeRecord } from "../store/records.ts";
import { cut } from "../store/reporter.ts";
import type { Store } from "../store/store.ts";
import { formatAddress } from "../wire/address.ts";
import { CutOff, type Found } from "./cut-off.ts";
import type { Standing } from "./finding.ts";
import { servedBy } from "./own-checks.ts";
import { probePorts } from "./probe-ports.ts";
import { ProbeTunnel } from "./tunnel.ts";
import { VipTurns } from "./vip-turns.ts";
import { Watch } from "./watch.ts";

/** In a circle of all hosts that look at each other, ordered by chance but everywhere alike, each is probed by those behind it. */
const place = (name: string): string => createHash("sha256").update(name).digest("hex");

/**
 * The hosts that `self` probes: each is probed by `probers` others at most, of its own site where there are any: by candidates for conductor, if there are any. Who is down by the
 * operator's word neither probes nor is probed.
 */
export function probedBy(
  self: string,
  { hosts, conductor, health }: Pick<Config, "hosts" | "conductor" | "health">,
): HostConfig[] {
  const present = hosts.filter(({ state }) => state !== "down");
  const { candidates } = conductor;
  // Where conductors are processes of their own, which have no DIP to probe from, all hosts probe.
  const mayProbe = ({ name }: HostConfig): boolean => candidates === null || candidates.length === 0 || candidates.includes(name);
  const circle = present.map((host) => ({ host, at: place(host.name) })).sort((a, b) => (a.at < b.at ? -1 : 1));
  const count = circle.length;
  const chosen: HostConfig[] = [];
  for (const [i, { host }] of circle.entries()) {
    const near = (one: HostConfig): boolean => one.site === host.site;
    const alone = !present.some((one) => one !== host && near(one) && mayProbe(one));
    for (let step = 1, left = health.tunnel.probers; step < count && left > 0; step++) {
      const other = circle[(i + step) % count]!.host;
      if (!mayProbe(other) || !(alone || near(other))) continue;
      left--;
      if (other.name === self) chosen.push(host);
    }
  }
  return chosen;
}

/** A host and a service on it, and what its probes depend on. */
interface Aim {
  readonly host: HostConfig;
  readonly service: ServiceConfig;
}
const essence = ({ host, service }: Aim, config: Config): string =>
  JSON.stringify([host.dips, service.vips, service.health, config.health.tunnel]);

export class Prober implements Attendant {
  readonly name = "probes";
  readonly #view: AgentView;
  readonly #store: Store;
  readonly #watches = new Map<string, { readonly watch: Watch; readonly of: string; readonly aim: Aim }>();
  #tunnel: ProbeTunnel | null = null;
  #record: LeasedRecord | null = null;
  #cutOff: CutOff | null = null;
  readonly #storeAway: () => boolean;

  /** `storeAway`: whether the store cannot be reached now. */
  constructor(view: AgentView, store: Store, storeAway: () => boolean) {
    this.#view = view;
    this.#store = store;
    this.#storeAway = storeAway;
  }

  start(): void {
    const { place, config, log } = this.#view;
    const ports = probePorts(readSysctl("net/ipv4/ip_local_port_range"));
    this.#tunnel = new ProbeTunnel(place.host.dips, config().gue.port, ports);
    const { store } = config();
    const keys = clusterKeys(config().cluster, store.kind === "etcd" ? store.prefix : undefined);
    const found = (): Found[] => this.#found();
    this.#cutOff = new CutOff(this.#view, { store: this.#store, keys, found, storeAway: this.#storeAway });
    this.#record = new LeasedRecord(this.#store, keys.probes(place.host.name), "probes", () => this.#asRecord(), log);
    this.changed(config());
  }

  changed(config: Config): void {
    const tunnel = this.#tunnel;
    if (tunnel === null) return;
    const aims = new Map(
      probedBy(this.#view.place.host.name, config).flatMap((host) =>
        servedBy(config, host)
          .filter(({ health }) => health.tunnel !== "off")
          .map((service): [string, Aim] => [`${host.name} ${service.name}`, { host, service }]),
      ),
    );
    for (const [key, { watch, of }] of this.#watches) {
      const aim = aims.get(key);
      if (aim !== undefined && essence(aim, config) === of) continue;
      watch.stop();
      this.#watches.delete(key);
    }
    for (const [key, aim] of aims) if (!this.#watches.has(key)) this.#begin(key, aim, config, tunnel);
    tunnel.keep(new Set(config.hosts.flatMap(({ dips }) => dips.map(formatAddress))));
    this.#record!.now();
  }

  #found(): Found[] {
    return [...this.#watches.values()].map(({ watch, aim }) => {
      const { healthy, finding } = watch.standing;
      return { host: aim.host.name, healthy, outcome: finding.outcome };
    });
  }

  async stop(handedOver: boolean): Promise<void> {
    this.#cutOff?.stop();
    for (const { watch } of this.#watches.values()) watch.stop();
    this.#watches.clear();
    this.#tunnel?.close();
    this.#tunnel = null;
    await this.#record?.stop(handedOver);
  }

  #begin(key: string, aim: Aim, config: Config, tunnel: ProbeTunnel): void {
    const { host, service } = aim;
    const rhythm = config.health.tunnel;
    const turns = new VipTurns(service, tunnel.canProbe);
    if (turns.count === 0) return;
    const health = { ...service.health, timeout: rhythm.timeout };
    const probe = () => turns.take((vip) => tunnel.probe({ dips: host.dips, vip, health }));
    // Spread over the interval, not all at the moment when a config comes.
    const watch = new Watch(rhythm, Math.random() * rhythm.interval * 1000, probe, (standing) =>
      this.#say(host.name, service.name, standing),
    );
    this.#watches.set(key, { watch, of: essence(aim, config), aim });
  }

  #say(host: string, service: string, { healthy, finding }: Standing): void {
    const { log } = this.#view;
    const facts = { event: "probe", host, service, healthy, outcome: finding.outcome, reason: finding.reason };
    if (healthy) log.info(facts, `probes of ${service} on ${host}: answered`);
    else log.warn(facts, `probes of ${service} on ${host}: ${finding.reason}`);
    this.#record?.now();
  }

  #asRecord(): string {
    const hosts: ProbesRecord["hosts"] = {};
    // Who has no VIP itself answers the answers: what it finds does not count.
    const fit = !this.#view.board.problems.has("vips");
    for (const { watch, aim } of fit ? this.#watches.values() : []) {
      const { healthy, finding } = watch.standing;
      if (healthy === null) continue;
      const found = { healthy, reason: cut(finding.reason), outcome: finding.outcome };
      hosts[aim.host.name] = { ...hosts[aim.host.name], [aim.service.name]: found };
    }
    return writeRecord("probes", { host: this.#view.place.host.name, when: Date.now(), hosts });
  }
}
