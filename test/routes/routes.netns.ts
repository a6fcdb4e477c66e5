/**
 * Two BIRDs in one namespace, the host's and its neighbour's; the agent is played by the test:
 *
 *   Routes --- control socket --- BIRD of 10.0.1.11, AS 65001 --- BGP --- BIRD of 10.0.1.1, AS 65000
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import type { Logger } from "pino";
import type { AgentView } from "../../src/control/attendant.ts";
import type { Config } from "../../src/control/config.ts";
import { FitnessBoard } from "../../src/control/fitness.ts";
import { hostBird, routerBird } from "../../src/lab/bird-config.ts";
import { birdProgram } from "../../src/lab/node-processes.ts";
import { pollFor } from "../../src/lab/poll.ts";
import { BirdClient } from "../../src/routes/bird-client.ts";
import { Routes, snippetPath } from "../../src/routes/routes.ts";
import { configOf } from "../support/fixture.ts";
import { ip } from "../support/netns.ts";

const PATIENCE_MS = 20_000;
/** What ill health may take to be heard of by the neighbour. */
const WITHDRAWN_MS = 1_000;
const VIPS = ["192.0.2.10", "192.0.2.64/26", "2001:db8::10"];

let dir = "";
const socketOf = (name: string): string => join(dir, `${name}.ctl`);
const fileOf = (name: string): string => join(dir, `${name}.conf`);
const runtimeDir = (): string => join(dir, "s1");

const yaml = (bgp = "", preference = 10, vips = VIPS): string => `
cluster: c
seed: 0123456789abcdef0123456789abcdef
hosts:
  - { name: s1, dip: 10.0.1.11, preference: ${preference} }
services:
  - { name: web, vips: ${JSON.stringify(vips)}, ports: { tcp: [80] } }
bgp: { socket: ${socketOf("host")}, as: 65001, holdSeconds: 1, withdrawDelay: 1${bgp} }
`;

const birds = new Map<string, ChildProcess>();

async function startBird(name: string): Promise<void> {
  const child = spawn(birdProgram(), ["-f", "-c", fileOf(name), "-s", socketOf(name), "-P", join(dir, `${name}.pid`)], {
    stdio: "ignore",
  });
  birds.set(name, child);
  await soon(`BIRD of the ${name}`, async () => {
    const client = await BirdClient.connect(socketOf(name), PATIENCE_MS).catch(() => null);
    client?.close();
    return client !== null;
  });
}

async function stopBird(name: string, signal: "SIGTERM" | "SIGKILL" = "SIGKILL"): Promise<void> {
  const child = birds.get(name);
  birds.delete(name);
  if (child === undefined) return;
  child.kill(signal);
  await once(child, "exit");
}

async function soon(what: string, ask: () => Promise<boolean> | boolean, patienceMs = PATIENCE_MS): Promise<number> {
  const begun = performance.now();
  const done = await pollFor(async () => ((await ask()) ? true : null), patienceMs, 5);
  assert.ok(done !== null, `${what}: not within ${patienceMs} ms`);
  return performance.now() - begun;
}

async function ask(name: string, command: string): Promise<string> {
  const client = await BirdClient.connect(socketOf(name), PATIENCE_MS);
  const { lines } = await client.ask(command, PATIENCE_MS);
  client.close();
  return lines.map(({ text }) => text).join("\n");
}

/** What the neighbour has heard, sorted. */
async function heard(): Promise<string[]> {
  const text = await ask("router", "show route where source = RTS_BGP");
  return [...text.matchAll(/^(?:\s*)([0-9a-f.:]+\/\d+)/gm)].map((match) => match[1]!).sort();
}
const ALL = ["192.0.2.10/32", "192.0.2.64/26", "2001:db8::10/128"];
const hears = async (routes: readonly string[], patienceMs = PATIENCE_MS): Promise<number> =>
  await soon(
    `the neighbour hears ${routes.join(", ") || "nothing"}`,
    async () => (await heard()).join() === routes.join(),
    patienceMs,
  );

/** An agent's side of it. */
class Agent implements AgentView {
  current: Config;
  readonly said: string[] = [];
  readonly board = new FitnessBoard();
  readonly runtimeDir = runtimeDir();
  readonly routes: Routes;
  readonly log: Logger;

  constructor(text = yaml()) {
    this.current = configOf(text);
    const say = (_: object, line: string): number => this.said.push(line);
    this.log = { info: say, warn: say, error: say } as unknown as Logger;
    this.routes = new Routes(this);
  }

  get place(): AgentView["place"] {
    return { instance: "s1", host: this.current.hosts[0]! } as AgentView["place"];
  }
  config = (): Config => this.current;
  generation = (): number => 1;
  network = (): never => assert.fail("routes do not look at it");

  async begin(): Promise<void> {
    await this.routes.prepare();
    this.board.examine();
    this.routes.start();
  }

  change(text: string): void {
    this.current = configOf(text);
    this.routes.changed();
  }

  async says(part: string): Promise<void> {
    await soon(`the agent says "${part}"`, () => this.said.some((line) => line.includes(part)));
  }
}

/** Plays an agent; none is left behind. */
async function withAgent(act: (agent: Agent) => Promise<void>, text?: string): Promise<void> {
  const agent = new Agent(text);
  try {
    await agent.begin();
    await act(agent);
  } finally {
    await agent.routes.stop(false);
  }
}

const hostConfig = (more = ""): string => {
  const sessions = ["4", "6"].map((family) => ({
    name: `r${family}`,
    local: family === "4" ? "10.0.1.11" : "fd00:1::11",
    neighbor: family === "4" ? "10.0.1.1" : "fd00:1::1",
    as: 65001,
    neighborAs: 65000,
    import: "none",
    export: "filter hafl_routes",
    more: "multihop 2; strict bind on;",
  }));
  return hostBird("10.0.1.11", `${runtimeDir()}/bird*.conf`, sessions) + more;
};

before(async () => {
  dir = mkdtempSync(join(tmpdir(), "hafl-routes-"));
  mkdirSync(runtimeDir());
  for (const line of [
    "link set lo up",
    "link add eth0 type veth peer name eth1",
    "link set eth0 up",
    "link set eth1 up",
    "address add 10.0.1.11/24 dev eth0",
    "address add 10.0.1.1/24 dev eth0",
    "address add fd00:1::11/64 dev eth0 nodad",
    "address add fd00:1::1/64 dev eth0 nodad",
    "tuntap add hafl-s1 mode tun",
    "link set hafl-s1 up",
  ])
    ip(line);
  const sessions = ["4", "6"].map((family) => ({
    name: `s${family}`,
    local: family === "4" ? "10.0.1.1" : "fd00:1::1",
    neighbor: family === "4" ? "10.0.1.11" : "fd00:1::11",
    as: 65000,
    neighborAs: 65001,
    import: "all",
    export: "none",
    more: "multihop 2; strict bind on;",
  }));
  writeFileSync(fileOf("router"), routerBird("10.0.1.1", [], sessions));
  writeFileSync(fileOf("host"), hostConfig());
  await startBird("router");
});

beforeEach(async () => {
  writeFileSync(fileOf("host"), hostConfig());
  if (birds.has("host")) await ask("host", "configure");
  else await startBird("host");
});

after(async () => {
  for (const name of [...birds.keys()]) await stopBird(name);
  rmSync(dir, { recursive: true, force: true });
});

test("a host that becomes unfit is withdrawn within a second, and announced again when it has been fit for a while", async () => {
  await withAgent(async (agent) => {
    await hears(ALL);
    await soon("the board has it", () => agent.board.routes?.announced.length === 3);
    agent.board.problem("tun", "it is gone");
    assert.ok((await hears([])) < WITHDRAWN_MS);
    await agent.says("routes: withdrawn 192.0.2.10, 192.0.2.64/26, 2001:db8::10: tun: it is gone");
    assert.deepEqual(agent.board.routes, { announced: [], problem: "tun: it is gone" });
    assert.match(readFileSync(snippetPath(runtimeDir()), "utf8"), /^ {2}disabled;$/m);
    // Whoever else has BIRD read its config brings nothing back.
    await ask("host", "configure");
    assert.deepEqual(await heard(), []);
    const fit = performance.now();
    agent.board.problem("tun", null);
    await hears(ALL);
    assert.ok(performance.now() - fit > 900, "not before holdSeconds");
  });
  assert.deepEqual(await heard(), []);
  assert.ok(!existsSync(snippetPath(runtimeDir())));
});

test("leaving: withdrawn first, and only after the delay the agent goes on; a takeover withdraws nothing", async () => {
  const agent = new Agent();
  await agent.begin();
  await hears(ALL);
  const begun = performance.now();
  const left = agent.routes.leaving();
  await hears([]);
  await left;
  assert.ok(performance.now() - begun >= 1_000);
  await agent.routes.stop(false);

  const first = new Agent();
  await first.begin();
  await hears(ALL);
  const second = new Agent();
  const withdrawals = async (): Promise<string> =>
    /Import withdraws:\s+\d+/.exec(await ask("router", "show protocols all s4"))![0];
  const before = await withdrawals();
  await first.routes.stop(true);
  second.routes.start();
  await soon("the second has it", () => second.board.routes?.announced.length === 3);
  assert.deepEqual(await heard(), ALL);
  assert.equal(await withdrawals(), before);
  await second.routes.stop(true);
  const third = new Agent();
  third.routes.start();
  const told = performance.now();
  await third.routes.leaving();
  assert.ok(performance.now() - told >= 1_000, "also of what it has not looked at itself");
  assert.deepEqual(await heard(), []);
  await third.routes.stop(false);
});

test("another agent after one that died: nothing is announced before it is ready", async () => {
  const dead = new Agent();
  await dead.begin();
  await hears(ALL);
  // As if killed: BIRD keeps the protocols, only the device goes, and comes back with the next agent.
  await dead.routes.stop(true);
  ip("link set hafl-s1 down");
  await hears([]);
  const next = new Agent();
  await next.routes.prepare();
  assert.doesNotMatch(await ask("host", "show protocols"), /^\s*hafl_\S+\s+Static\s+\S+\s+up/m);
  ip("link set hafl-s1 up");
  await ask("host", "configure");
  assert.deepEqual(await heard(), []);
  next.routes.start();
  await hears(ALL);
  await next.routes.stop(false);
});

test("a host that is found unfit when it is first looked at never was announced; one that nobody looks at is, later", async (t) => {
  const updates = async (): Promise<string> => /Import updates:\s+\d+/.exec(await ask("router", "show protocols all s4"))![0];
  await hears([]);
  const before = await updates();
  const unfit = new Agent();
  t.after(() => unfit.routes.stop(false));
  await unfit.routes.prepare();
  unfit.routes.start();
  unfit.board.problem("tun", "it is gone");
  unfit.board.examine();
  await soon("it is known why not", () => unfit.board.routes?.problem === "tun: it is gone");
  assert.deepEqual(await heard(), []);
  assert.equal(await updates(), before);
  await unfit.routes.stop(false);

  const unseen = new Agent();
  t.after(() => unseen.routes.stop(false));
  await unseen.routes.prepare();
  const begun = performance.now();
  unseen.routes.start();
  await hears(ALL);
  assert.ok(performance.now() - begun > 1_400);
});

test("preference: prepended, or as a MED; VIPs come and go", async () => {
  await withAgent(async (agent) => {
    await hears(ALL);
    const route = async (): Promise<string> => await ask("router", "show route all for 192.0.2.10");
    assert.match(await route(), /BGP\.as_path: 65001$/m);
    agent.change(yaml("", 8));
    await soon("prepended", async () => /BGP\.as_path: 65001 65001 65001$/m.test(await route()));
    agent.change(yaml(", weigh: med", 8));
    await soon("MED", async () => /BGP\.med: 2$/m.test(await route()));
    assert.match(await route(), /BGP\.as_path: 65001$/m);
    agent.change(yaml("", 10, ["192.0.2.10", "192.0.2.99"]));
    await hears(["192.0.2.10/32", "192.0.2.99/32"]);
    const other = yaml(", protocol: ours");
    agent.change(other);
    // The neighbour is told of `hafl_*` only.
    await hears([]);
    await soon("protocols of the other name", async () => (await ask("host", "show protocols")).includes("ours_192_0_2_10"));
    assert.doesNotMatch(await ask("host", "show protocols"), /hafl_/);
    agent.change(other.replace(/^bgp:.*$/m, "bgp: off"));
    await soon("nothing is ours", () => agent.board.routes === null);
    assert.match(await ask("host", "show protocols"), /ours_192_0_2_10\s+Static\s+master4\s+down/);
  });
});

test("BIRD stops and starts: it is said, and what was announced is again", async () => {
  await withAgent(async (agent) => {
    await hears(ALL);
    await stopBird("host");
    await agent.says("BIRD is not running, or bgp.socket is another one");
    agent.board.problem("tun", "gone");
    await soon("the file says so too", () => readFileSync(snippetPath(runtimeDir()), "utf8").includes("disabled;"));
    await startBird("host");
    await agent.says("routes: BIRD is as it should be again");
    assert.deepEqual(await heard(), [], "a host that is not fit stays silent");
    agent.board.problem("tun", null);
    await hears(ALL);
  });
});

test("a config of BIRD that is wrong, or does not include ours, is told; ill health is withdrawn all the same", async () => {
  await withAgent(async (agent) => {
    await hears(ALL);
    writeFileSync(fileOf("host"), hostConfig("protocol bgp nonsense;\n"));
    agent.change(yaml("", 10, [...VIPS, "192.0.2.99"]));
    await agent.says("BIRD refuses its config and goes on with the one before: ");
    assert.deepEqual(await heard(), ALL);
    agent.board.problem("tun", "gone");
    assert.ok((await hears([])) < WITHDRAWN_MS);
    agent.board.problem("tun", null);
    writeFileSync(fileOf("host"), hostConfig());
    await hears(["192.0.2.10/32", "192.0.2.64/26", "192.0.2.99/32", "2001:db8::10/128"]);
    await agent.says("routes: BIRD is as it should be again");
  });
  writeFileSync(fileOf("host"), hostConfig().replace(/^include.*$/m, ""));
  await withAgent(async (agent) => {
    await agent.says("BIRD has no protocol hafl_192_0_2_10: its config does not include");
  });
  writeFileSync(fileOf("host"), hostConfig().replace(/^protocol device.*$/m, ""));
  await ask("host", "configure");
  await withAgent(async (agent) => {
    await agent.says("BIRD makes no route of hafl_192_0_2_10: it does not see the agent's TUN");
  });
});

test("no BGP session: it is said that nobody hears", async () => {
  await withAgent(async (agent) => {
    await hears(ALL);
    await stopBird("router", "SIGTERM");
    await agent.says("no BGP session of BIRD is established (");
    await startBird("router");
    await agent.says("routes: BIRD is as it should be again");
    await hears(ALL);
  });
});
