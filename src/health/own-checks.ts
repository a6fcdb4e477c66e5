/** Each agent checks the services that its host is in the pool of, and says on the board what it found. */
import type { AgentView, Attendant } from "../control/attendant.ts";
import type { Config, HostConfig, ServiceConfig } from "../control/config.ts";
import { formatAddress } from "../wire/address.ts";
import { checkExec } from "./check-exec.ts";
import { checkHttp, checkTcp } from "./check-tcp.ts";
import type { Finding, Standing } from "./finding.ts";
import { VipTurns } from "./vip-turns.ts";
import { Watch } from "./watch.ts";

/** The check of a service on this host, made once, or as far as it gets before it is `over`; null: it has none. */
export function ownCheck(service: ServiceConfig, host: string): ((over: AbortSignal) => Promise<Finding>) | null {
  const { kind, port, command, timeout } = service.health;
  const timeoutMs = timeout * 1000;
  if (kind === "none") return null;
  if (kind === "exec") {
    const facts = { HAFL_SERVICE: service.name, HAFL_HOST: host, HAFL_VIP: formatAddress(service.vips[0]!.address) };
    return (over) => checkExec(command, facts, timeoutMs, over);
  }
  const turns = new VipTurns(service, () => true);
  return kind === "tcp"
    ? (over) => turns.take((vip) => checkTcp(vip, port!, timeoutMs, over))
    : (over) => turns.take((vip) => checkHttp(vip, port!, service.health, timeoutMs, over));
}

/** What of a service its checks depend on: where that stays the same they go on. */
const essence = ({ vips, health }: ServiceConfig): string => JSON.stringify([vips, health]);

export class OwnChecks implements Attendant {
  readonly name = "health checks";
  readonly #view: AgentView;
  readonly #watches = new Map<string, { readonly watch: Watch; readonly of: string }>();

  constructor(view: AgentView) {
    this.#view = view;
  }

  start(): void {
    this.changed(this.#view.config());
  }

  changed(config: Config): void {
    const host = this.#view.place.host;
    const wanted = new Map(servedBy(config, host).map((service) => [service.name, service]));
    for (const [name, { of }] of this.#watches) {
      const service = wanted.get(name);
      if (service === undefined || essence(service) !== of) this.#forget(name, service === undefined);
    }
    for (const service of wanted.values()) if (!this.#watches.has(service.name)) this.#begin(service, host);
  }

  stop(): void {
    for (const name of [...this.#watches.keys()]) this.#forget(name, false);
  }

  #begin(service: ServiceConfig, host: HostConfig): void {
    const { name } = service;
    const check = ownCheck(service, host.name);
    if (check === null) {
      this.#view.board.service(name, null);
      return;
    }
    const watch = new Watch(service.health, 0, check, (standing) => this.#say(name, standing));
    this.#watches.set(name, { watch, of: essence(service) });
  }

  #forget(name: string, forGood: boolean): void {
    this.#watches.get(name)?.watch.stop();
    this.#watches.delete(name);
    if (forGood) this.#view.board.service(name, null);
  }

  #say(name: string, { healthy, finding }: Standing): void {
    const { board, log } = this.#view;
    const before = board.services.get(name)?.healthy;
    board.service(name, { healthy: healthy!, reason: finding.reason });
    if (healthy === before) return;
    if (healthy) log.info({ event: "health", service: name, healthy }, `service ${name}: healthy`);
    else
      log.warn(
        { event: "health", service: name, healthy, reason: finding.reason },
        `service ${name}: unhealthy: ${finding.reason}`,
      );
  }
}

/** Services that a host is in the pool of. */
export const servedBy = ({ services }: Config, { name }: HostConfig): ServiceConfig[] =>
  services.filter(({ pool }) => pool.some(({ host }) => host === name));
