/** What an agent holds of its host while it runs: opened anew, or taken over from the agent that ran before. */
import { resolve } from "node:path";
import type { Logger } from "pino";
import { native } from "../io/native.ts";
import type { Prefix } from "../wire/address.ts";
import { type AgentOptions, directoryOf, type Place } from "./agent-place.ts";
import type { Config } from "./config.ts";
import { workersOf } from "./cpus.ts";
import { DescriptorList, renumber } from "./descriptor-set.ts";
import { Descriptors, type Wiring } from "./descriptors.ts";
import { DropControl } from "./drop-control.ts";
import { usableRules } from "./drop-rules.ts";
import { Claim, type InstanceInfo } from "./instance.ts";
import { Network } from "./network.ts";
import { tunName } from "./own-place.ts";
import { Publisher } from "./publish.ts";
import { takenOver, trackedFlows } from "./running-config.ts";
import type { Offer } from "./takeover-protocol.ts";

export interface Holdings {
  readonly claim: Claim;
  readonly network: Network;
  readonly drops: DropControl;
  readonly descriptors: Descriptors;
  readonly publisher: Publisher;
}

/** What instance.json is to say of this process. */
export const infoOf = (options: AgentOptions, { config, host, instance }: Place): InstanceInfo => ({
  instance,
  host: host.name,
  pid: process.pid,
  cluster: config.cluster,
  config: resolve(options.config),
  started: new Date().toISOString(),
});

function wiringOf(options: AgentOptions, { config, host, instance, uplink }: Place, drops: DropControl, vips: Prefix[]): Wiring {
  return {
    file: options.config,
    instance,
    mode: config.io.mode,
    uplink: uplink.device,
    tun: tunName(instance),
    workers: workersOf(config.io),
    dips: host.dips,
    guePort: config.gue.port,
    receiveTrains: config.io.offloads.receiveTrains === "auto",
    vips,
    filter: (prefixes) => drops.filter(prefixes),
  };
}

const dropPlaceOf = ({ config, uplink }: Place, runtimeDir: string): Parameters<typeof DropControl.open>[0] => ({
  runtimeDir,
  mode: config.io.mode,
  uplink: uplink.device,
  link: uplink.link,
  workers: workersOf(config.io),
});

/** Takes everything that can be refused; nothing of the host's network has changed afterwards. Throws a Failure, with nothing taken. */
export function openHoldings(options: AgentOptions, place: Place, log: Logger): Holdings {
  const { config } = place;
  const claim = Claim.take(directoryOf(options, place));
  let drops: DropControl | null = null;
  let descriptors: Descriptors | null = null;
  try {
    claim.write(infoOf(options, place));
    const network = new Network(claim.dir);
    if (network.dirty) log.info("an agent that died had left its rules and addresses: they are taken over as they are");
    const vips = takenOver(config);
    drops = DropControl.open(dropPlaceOf(place, claim.dir));
    drops.use(usableRules(config, options.config), vips);
    descriptors = Descriptors.open(wiringOf(options, place, drops, vips));
    drops.count(vips);
    const publisher = Publisher.open(claim.dir, workersOf(config.io), trackedFlows(config));
    return { claim, network, drops, descriptors, publisher };
  } catch (error) {
    drops?.close();
    descriptors?.close();
    claim.release();
    throw error;
  }
}

/** What another process needs to take over all of it. `counting` is what DropControl gave when it was suspended. */
export function handOut(
  { claim, descriptors }: Holdings,
  { counting, choice, ...count }: ReturnType<DropControl["suspend"]>,
): Pick<Offer, "descriptors" | "lock" | "set" | "counting"> & { list: readonly number[] } {
  const list = new DescriptorList();
  const handed = {
    lock: list.place(claim.fd),
    set: renumber(descriptors.set, list.place) as Offer["set"],
    counting: {
      ...count,
      slots: [...count.slots],
      choice: choice === null ? null : Buffer.from(choice).toString("base64"),
      counting: counting.map(list.place),
    },
  };
  return { ...handed, descriptors: list.descriptors.length, list: list.descriptors };
}

/**
 * Takes what a running agent has handed out: `fds` are the descriptors of its offer, this process's to close from then on, `config` is
 * the config it runs by. Nothing changes. Throws, with all of them closed, when it is not as this version works with it.
 */
export function adoptHoldings(
  options: AgentOptions,
  place: Place,
  { lock, set, counting }: Offer,
  fds: readonly number[],
  config: Config,
): Holdings {
  const at = (index: number): number => {
    const fd = fds[index];
    if (fd === undefined) throw new Error(`descriptor ${index} of ${fds.length} does not exist`);
    return fd;
  };
  const dir = directoryOf(options, place);
  try {
    const choice = counting.choice === null ? null : new Uint8Array(Buffer.from(counting.choice, "base64"));
    const count = { ...counting, choice, counting: counting.counting.map(at) };
    const drops = DropControl.adopt(dropPlaceOf(place, dir), usableRules(config, options.config), count);
    const descriptors = Descriptors.adopt(wiringOf(options, place, drops, takenOver(config)), renumber(set, at));
    const publisher = Publisher.adopt(dir, config, trackedFlows(config));
    return { claim: Claim.share(dir, at(lock)), network: new Network(dir), drops, descriptors, publisher };
  } catch (error) {
    for (const fd of fds) native().close(fd);
    throw error;
  }
}
