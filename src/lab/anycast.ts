/** Two data centres that announce the same VIPs and egress IPs: who serves whom, and what becomes of it when one is lost. */
import { setTimeout as sleep } from "node:timers/promises";
import { readStatus } from "../control/status.ts";
import {
  anycastBirds,
  anycastConfig,
  CLIENT_ADDRESS,
  clientNear,
  EGRESS,
  hostsOf,
  internetNear,
  otherSite,
  routerOf,
  SITES,
  type Site,
  siteOf,
} from "./anycast-topology.ts";
import { guardLab } from "./guard.ts";
import { labDown, type Progress } from "./lab.ts";
import { gatewaysTo } from "./lab-bgp.ts";
import { ended, nodeProgram, runScript, spawnDaemon, spawnIn } from "./namespace.ts";
import { startAgent, startBird, startServer, stopProcess, waitReady } from "./node-processes.ts";
import { pollFor } from "./poll.ts";
import { claimLab, configFile, type LabProcess, type LabState, logFile, replaceFile, runtimeDir, writeState } from "./state.ts";
import { ECHO_PORT, FAMILIES, type Family, HTTP_PORT, hostNames, type LabSpec, VIP } from "./topology.ts";
import { expect, type Verdict, Verdicts } from "./verdicts.ts";

/** How long anything may take on a machine that is busy. */
const PATIENCE_MS = 30_000;
const REQUESTS = 10;
const EGRESS_BYTES = 2_000_000;

interface Curled {
  readonly code: number;
  readonly body: string;
  readonly wrong: string;
}

/** curl on a node; it gives up after so many seconds. */
async function curl(lab: string, node: string, args: readonly string[], seconds: number): Promise<Curled> {
  const child = spawnIn(lab, node, ["curl", "-sS", "-m", `${seconds}`, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  let [body, wrong] = ["", ""];
  child.stdout!.on("data", (chunk: Buffer) => {
    body += chunk.toString();
  });
  child.stderr!.on("data", (chunk: Buffer) => {
    wrong += chunk.toString();
  });
  return { code: await ended(child), body: body.trim(), wrong: wrong.trim() };
}

const urlOf = (address: string, path = "/"): string =>
  `http://${address.includes(":") ? `[${address}]` : address}:${HTTP_PORT}${path}`;

class AnycastScenario {
  #state: LabState;
  readonly #verdicts: Verdicts;

  constructor(state: LabState, verdicts: Verdicts) {
    this.#state = state;
    this.#verdicts = verdicts;
  }

  get #lab(): string {
    return this.#state.spec.name;
  }

  async run(signal?: AbortSignal): Promise<void> {
    const steps: [string, () => Promise<string>][] = [
      ["each client is served in the data centre next to it", () => this.#near()],
      ...SITES.map((site): [string, () => Promise<string>] => [
        `replies to the egress IP that come in at site ${otherSite(site)} reach their host at site ${site}`,
        () => this.#egress(site),
      ]),
      ["site a is cut off: its clients move to site b, those of b notice nothing", () => this.#cutOff()],
      ["site a is back, and so are its clients", () => this.#back()],
      ["all agents of site b stop: its clients move to site a", () => this.#allStop()],
    ];
    for (const [what, take] of steps) {
      await this.#verdicts.step(what, take);
      signal?.throwIfAborted();
    }
  }

  /** Which host answers a request; throws when none does. */
  async #answer(client: string, family: Family, seconds = 5): Promise<string> {
    const { code, body, wrong } = await curl(this.#lab, client, [urlOf(VIP[family])], seconds);
    expect(code === 0, `${client}, IPv${family}: ${wrong}`);
    return body;
  }

  async #near(): Promise<string> {
    const said: string[] = [];
    for (const site of SITES) {
      const client = clientNear(site);
      const hosts = new Set<string>();
      for (let i = 0; i < REQUESTS; i++) for (const family of FAMILIES) hosts.add(await this.#answer(client, family));
      const strays = [...hosts].filter((host) => siteOf(host) !== site);
      expect(strays.length === 0, `${client}, next to site ${site}, was answered by ${strays.join(", ")}`);
      said.push(`${client} by ${[...hosts].sort().join(" and ")}`);
    }
    return said.join(", ");
  }

  /** A host sends from the egress IP to the client at the other site: what comes back enters there, and crosses the backbone in GUE. */
  async #egress(site: Site): Promise<string> {
    const other = otherSite(site);
    const owner = hostsOf(site)[0]!;
    const passedOn = (): number =>
      hostsOf(other).reduce((sum, host) => sum + (readStatus(runtimeDir(this.#lab, host)).perHost[owner]?.sentPackets ?? 0), 0);
    const before = passedOn();
    for (const family of FAMILIES) {
      const from = ["--interface", EGRESS[family], "-o", "/dev/null", "-w", "%{size_download} %{local_port}"];
      const url = urlOf(CLIENT_ADDRESS[other][family], `/bytes/${EGRESS_BYTES}`);
      const { code, body, wrong } = await curl(this.#lab, owner, [...from, url], 20);
      expect(code === 0 && body.startsWith(`${EGRESS_BYTES} `), `IPv${family}: ${wrong || body}`);
    }
    const packets = passedOn() - before;
    expect(packets > 0, `no host of site ${other} sent anything to ${owner}`);
    return `${2 * EGRESS_BYTES} bytes to ${owner}, ${packets} packets over the backbone by ${hostsOf(other).join(" and ")}`;
  }

  async #link(node: string, device: string, up: boolean): Promise<void> {
    const command = ["ip", "link", "set", device, up ? "up" : "down"];
    const code = await ended(spawnIn(this.#lab, node, command, { stdio: "ignore" }));
    expect(code === 0, `${command.join(" ")} on ${node} ended with ${code}`);
  }

  /** Asks again and again until a host of the site answers; gives how long that took, ms, and how many requests failed before. */
  async #movedTo(client: string, site: Site): Promise<{ took: number; failed: number }> {
    const begun = performance.now();
    let failed = 0;
    const ask = async (family: Family): Promise<true | null> => {
      const host = await this.#answer(client, family, 1).catch(() => null);
      if (host === null) failed++;
      return host !== null && siteOf(host) === site ? true : null;
    };
    for (const family of FAMILIES) {
      const moved = await pollFor(() => ask(family), PATIENCE_MS, 10);
      expect(moved !== null, `${client} is not served by site ${site} over IPv${family} within ${PATIENCE_MS / 1000} s`);
    }
    return { took: performance.now() - begun, failed };
  }

  /** The power of site a is gone, its backbone with it. */
  async #cutOff(): Promise<string> {
    let stop = false;
    const others = (async () => {
      let asked = 0;
      for (; !stop; asked++) {
        for (const family of FAMILIES) {
          const host = await this.#answer("c2", family);
          expect(siteOf(host) === "b", `c2 was answered by ${host}`);
        }
      }
      return asked * FAMILIES.length;
    })();
    // Whatever comes first, the other is waited for.
    others.catch(() => {});
    let moved: { took: number; failed: number };
    try {
      await this.#link("ra", "i1", false);
      await this.#link("ra", "rb", false);
      moved = await this.#movedTo("c1", "b");
      await sleep(500);
    } finally {
      stop = true;
    }
    return `c1 served again after ${moved.took.toFixed(0)} ms, ${moved.failed} requests failed; ${await others} of c2 did not`;
  }

  async #back(): Promise<string> {
    await this.#link("ra", "i1", true);
    await this.#link("ra", "rb", true);
    const { took, failed } = await this.#movedTo("c1", "a");
    return `after ${took.toFixed(0)} ms, ${failed} requests failed`;
  }

  async #allStop(): Promise<string> {
    const agents = this.#state.processes.filter(({ role, node }) => role === "agent" && siteOf(node) === "b");
    const stopping = Promise.all(agents.map((agent) => stopProcess(this.#lab, agent)));
    const { took, failed } = await this.#movedTo("c2", "a");
    expect(
      (await stopping).every((asked) => asked),
      "not every agent ended in order",
    );
    const left = await gatewaysTo(this.#lab, routerOf("b"), VIP[4]);
    expect(left.length === 0, `${routerOf("b")} still sends packets to ${left.join(", ")}`);
    return `after ${took.toFixed(0)} ms, ${failed} requests failed`;
  }
}

/** HTTP on the address of a client, for hosts that send from their egress IPs. */
async function startClientServer(lab: string, site: Site): Promise<LabProcess> {
  const node = clientNear(site);
  const args = [node, String(HTTP_PORT), String(ECHO_PORT), ...Object.values(CLIENT_ADDRESS[site])];
  const pid = await spawnDaemon(lab, node, nodeProgram("lab/server.ts", args), logFile(lab, node, "server"));
  return { node, role: "server", pid };
}

/** Raises network, BIRDs, agents and servers, and waits until every route is where it should be. */
async function raise(spec: LabSpec, progress: Progress, signal?: AbortSignal): Promise<LabState> {
  progress("network: two data centres, the internet between them, a client next to each");
  replaceFile(configFile(spec.name), anycastConfig(spec));
  await runScript("lab-anycast-up.sh", [spec.name]);
  progress("BIRD on 4 routers and 4 hosts, agents and servers");
  const birds = await Promise.all([...anycastBirds(spec)].map(([node, text]) => startBird(spec.name, node, text)));
  writeState({ spec, processes: birds });
  await Promise.all(birds.map((bird) => waitReady(spec.name, bird, signal)));
  const others = await Promise.all([
    ...hostNames(spec).flatMap((host) => [startAgent(spec, host), startServer(spec, host)]),
    ...SITES.map((site) => startClientServer(spec.name, site)),
  ]);
  const state = { spec, processes: [...birds, ...others] };
  writeState(state);
  await Promise.all(others.map((process) => waitReady(spec.name, process, signal)));
  for (const address of [...Object.values(VIP), ...Object.values(EGRESS)]) {
    for (const site of SITES) {
      const settled = async (): Promise<true | null> => {
        const [inside, outside] = [routerOf(site), internetNear(site)].map((node) => gatewaysTo(spec.name, node, address));
        return (await inside!).length === 2 && (await outside!).length === 1 ? true : null;
      };
      const routed = await pollFor(settled, PATIENCE_MS, 50, signal);
      signal?.throwIfAborted();
      if (routed === null) throw new Error(`the routers near site ${site} have no route to ${address}`);
    }
  }
  return state;
}

/** Raises the lab, goes through it all, takes it down. Throws when the lab cannot be raised; what fails then is a verdict. */
export async function runAnycast(spec: LabSpec, progress: Progress, signal?: AbortSignal): Promise<readonly Verdict[]> {
  claimLab(spec.name);
  const guard = guardLab(spec.name);
  const verdicts = new Verdicts(progress);
  try {
    await new AnycastScenario(await raise(spec, progress, signal), verdicts).run(signal);
    return verdicts.list;
  } finally {
    progress("taking the lab down");
    await labDown(spec.name);
    await guard.release();
  }
}
