/**
 * Two hosts, each with an agent and a service; faults come to the second, and the first probes it through the tunnel.
 *
 *     s1 10.9.9.1, fd09::1, up0 (this namespace) ---- up0, 10.9.9.2, fd09::2 s2
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { diagnose } from "../../src/health/diagnose.ts";
import { unprivileged } from "../../src/lab/unprivileged.ts";
import type { HostReport, ProbesRecord } from "../../src/store/records.ts";
import { ip, until } from "../support/netns.ts";
import { agentFolder, UNPRIVILEGED } from "../support/unprivileged.ts";

const LIMIT_MS = 20_000;
const MODE = process.env.HEALTH_MODE ?? "af-packet";
const VIPS = ["192.0.2.10", "2001:db8::10"];

const config = (mode: string, dips: (host: number) => string[]): string => `cluster: test
seed: 0123456789abcdef0123456789abcdef
hosts:
  - { name: s1, dip: ${JSON.stringify(dips(1))} }
  - { name: s2, dip: ${JSON.stringify(dips(2))} }
services:
  - { name: web, vips: ${JSON.stringify(VIPS)}, ports: { tcp: [8080] } }
  - name: http
    vips: ${JSON.stringify(VIPS)}
    ports: { tcp: [8081] }
    health: { kind: http, path: /up, body: all is ok, tunnel: http }
  - { name: dns, vips: ${JSON.stringify(VIPS)}, ports: { udp: [53] } }
health: { interval: 0.3, timeout: 0.5, tunnel: { interval: 0.3, timeout: 0.5 } }
table: { size: 1009 }
io: { mode: ${mode}, uplink: up0, workers: 2 }
`;
const BOTH = (host: number): string[] => [`10.9.9.${host}`, `fd09::${host}`];

let dir = "";
let other: ChildProcess;
const servers: ChildProcess[] = [];

/** The command line of something on a host. */
const on = (host: number, command: readonly string[]): string[] =>
  host === 1 ? [...command] : ["nsenter", "-t", String(other.pid), "-n", ...command];

function run(host: number, line: string): void {
  const [program, ...args] = on(host, line.split(" "));
  const { status, stderr } = spawnSync(program!, args, { encoding: "utf8" });
  assert.equal(status, 0, `${line}: ${stderr}`);
}

const program = (path: string, ...args: string[]): string[] => [
  process.execPath,
  fileURLToPath(new URL(`../support/${path}.js`, import.meta.url)),
  ...args,
];

/** Has the service of a host do something; resolves when it does. */
async function tell(host: number, line: string): Promise<void> {
  const server = servers[host - 1]!;
  const said = once(server.stdout!, "data");
  server.stdin!.write(`${line}\n`);
  await said;
}

before(async () => {
  dir = agentFolder("hafl-health-");
  other = spawn("setpriv", ["--pdeathsig", "KILL", "unshare", "--net", "sleep", "600"], { stdio: "ignore" });
  const inside = (): boolean => {
    const [first, ...rest] = on(2, ["ip", "link", "set", "lo", "up"]);
    return spawnSync(first!, rest, { stdio: "ignore" }).status === 0;
  };
  const separate = (): boolean =>
    spawnSync("readlink", [`/proc/${other.pid}/ns/net`]).stdout.toString() !==
    spawnSync("readlink", ["/proc/self/ns/net"]).stdout.toString();
  await until("the second host's namespace", () => separate() && inside());
  ip("link set lo up");
  ip(`link add up0 type veth peer name up0 netns ${other.pid}`);
  for (const host of [1, 2]) {
    for (const line of [
      "link set up0 addrgenmode none",
      "link set up0 up",
      `addr add 10.9.9.${host}/24 dev up0`,
      `-6 addr add fd09::${host}/64 dev up0 nodad`,
      // Without one the kernel asks no neighbour for its link address on behalf of a VIP.
      `-6 addr add fe80::${host}/64 dev up0 nodad`,
    ])
      run(host, `ip ${line}`);
    const [first, ...rest] = on(host, ["setpriv", "--pdeathsig", "KILL", ...program("health-server")]);
    const server = spawn(first!, rest, { stdio: ["pipe", "pipe", "inherit"] });
    servers.push(server);
    await once(server.stdout!, "data");
  }
  // No reset may leave the prober for a connection that its kernel knows nothing of.
  for (const line of [
    "add table inet seen",
    "add chain inet seen out { type filter hook output priority 0 ; }",
    "add rule inet seen out oifname up0 tcp dport { 8080, 8081 } tcp flags & rst == rst counter",
  ])
    run(1, `nft ${line}`);
});

after(() => {
  for (const server of servers) server.kill("SIGKILL");
  other.kill("SIGKILL");
  rmSync(dir, { recursive: true, force: true });
});

/** An agent, with what it says of itself and of the other. */
class Agent {
  readonly child: ChildProcess;
  report: Pick<HostReport, "problems" | "services"> = { problems: {}, services: {} };
  found: ProbesRecord["hosts"] = {};
  log = "";

  constructor(host: number, file: string) {
    const own = program("health-agent", file, join(dir, `run-${host}`));
    const command = ["setpriv", "--pdeathsig", "KILL", ...own];
    const [first, ...rest] = on(host, UNPRIVILEGED ? unprivileged(command) : command);
    this.child = spawn(first!, rest, { stdio: ["ignore", "pipe", "pipe"] });
    this.child.stderr!.on("data", (text) => {
      this.log += text;
    });
    createInterface({ input: this.child.stdout! }).on("line", (line) => {
      const { found, ...report } = JSON.parse(line) as { found?: Agent["found"] } & Agent["report"];
      if (found === undefined) this.report = report;
      else this.found = found;
    });
  }

  async stop(signal: NodeJS.Signals): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const gone = once(this.child, "close");
    this.child.kill(signal);
    await gone;
  }
}

/** Runs two agents by a config; in the end both stop as they should. */
async function withAgents(
  text: string,
  work: (s1: Agent, s2: Agent, begin: (host: number) => Agent) => Promise<void>,
): Promise<void> {
  const file = join(dir, "config.yaml");
  writeFileSync(file, text);
  const all: Agent[] = [];
  const begin = (host: number): Agent => {
    const agent = new Agent(host, file);
    all.push(agent);
    return agent;
  };
  try {
    await work(begin(1), begin(2), begin);
    for (const agent of all) {
      await agent.stop("SIGTERM");
      assert.ok(agent.child.exitCode === 0 || agent.child.signalCode === "SIGKILL", agent.log);
    }
  } catch (error) {
    throw new Error(`${(error as Error).message}\n${all.map(({ log }) => log).join("\n")}`, { cause: error });
  } finally {
    for (const agent of all) await agent.stop("SIGKILL");
  }
}

/** What `hafl hosts` is to say of a service on s2, by what both say. `reports`: s2 can say something. */
function said(service: string, s1: Agent, s2: Agent, reports = true): string {
  const probed = s1.found.s2?.[service];
  const { cause, text } = diagnose(service, reports ? (s2.report as HostReport) : null, probed === undefined ? [] : [probed]);
  return text || cause;
}

async function says(service: string, s1: Agent, s2: Agent, pattern: RegExp, reports = true): Promise<void> {
  const now = (): string => said(service, s1, s2, reports);
  await until(`${pattern}`, () => pattern.test(now()), LIMIT_MS).catch((error: Error) => {
    throw new Error(`${error.message}: ${now()}; ${JSON.stringify([s1.found, s2.report])}`);
  });
}

const SERVICES = ["web", "http", "dns"];
/** All is well on s2, as s1 sees it and itself, with something said of each service. */
async function fine(s1: Agent, s2: Agent): Promise<void> {
  await until("all services probed", () => SERVICES.every((name) => s1.found.s2?.[name]?.healthy === true), LIMIT_MS).catch(
    (error: Error) => {
      throw new Error(`${error.message}: ${JSON.stringify([s1.found, s2.report])}`);
    },
  );
  for (const name of SERVICES) await says(name, s1, s2, /^healthy$/);
}

/** Sees that only this is found, by those who probe too, and that it is well again afterwards. */
async function fault(
  s1: Agent,
  s2: Agent,
  inject: string,
  heal: readonly string[],
  expected: RegExp,
  probed: RegExp,
): Promise<void> {
  run(2, inject);
  await says("web", s1, s2, expected);
  await until(`probes that end as ${probed}`, () => probed.test(s1.found.s2?.web?.outcome ?? ""), LIMIT_MS);
  await says("web", s1, s2, expected);
  for (const line of heal) run(2, line);
  await fine(s1, s2);
}

/** What brings the TUN of s2 up again; the routes that led there went with it. */
function raiseTun(): string[] {
  const up = "ip link set hafl-s2 up";
  if (MODE !== "tun") return [up];
  const [first, ...rest] = on(2, ["ip", "rule"]);
  const table = /lookup (104\d+)/.exec(spawnSync(first!, rest, { encoding: "utf8" }).stdout)![1]!;
  const route = (vip: string): string => `${vip} dev hafl-s2 table ${table} metric 10`;
  return [up, `ip route add ${route("192.0.2.10/32")}`, `ip -6 route add ${route("2001:db8::10/128")}`];
}

test(`${MODE}: each fault is found, named, and forgotten when it is over`, () =>
  withAgents(config(MODE, BOTH), async (s1, s2, begin) => {
    await fine(s1, s2);
    await until("the first host's services", () => SERVICES.every((name) => s2.found.s1?.[name]?.healthy === true), LIMIT_MS);
    assert.deepEqual([s1.report.problems, s2.report.problems], [{}, {}]);

    await tell(2, "stop");
    await says("web", s1, s2, /^service down: nothing listens on (192\.0\.2\.10|2001:db8::10) port 8080$/);
    await until("probes that are refused", () => s1.found.s2?.web?.outcome === "refused", LIMIT_MS);
    await says("http", s1, s2, /^healthy$/);
    await tell(2, "start");
    await fine(s1, s2);

    for (const [line, reason] of [
      ["503", /^service wrong: HTTP 503, wanted 200-399$/],
      ["bad", /^service wrong: the body does not hold "all is ok"$/],
      ["silence", /^service slow: connected, but no answer within 0\.5 s$/],
    ] as const) {
      await tell(2, line);
      await says("http", s1, s2, reason);
      await until(`probes that hear ${line}`, () => s1.found.s2?.http?.healthy === false, LIMIT_MS);
      await says("http", s1, s2, reason);
      await says("web", s1, s2, /^healthy$/);
      await tell(2, "ok");
      await fine(s1, s2);
    }

    await fault(
      s1,
      s2,
      "ip addr del 192.0.2.10/32 dev lo",
      ["ip addr add 192.0.2.10/32 dev lo scope host"],
      /^VIP missing: 192\.0\.2\.10 missing on lo \(ip addr add/,
      /^silent$/,
    );
    await fault(
      s1,
      s2,
      "ip addr del 2001:db8::10/128 dev lo",
      ["ip -6 addr add 2001:db8::10/128 dev lo nodad preferred_lft 0"],
      /^VIP missing: 2001:db8::10 missing on lo /,
      /^(silent|rejected)$/,
    );

    run(2, "nft add table inet fault");
    run(2, "nft add chain inet fault in { type filter hook input priority 0 ; }");
    await fault(
      s1,
      s2,
      "nft add rule inet fault in udp dport 6080 drop",
      ["nft delete table inet fault"],
      /^GUE port filtered: nothing came back from (192\.0\.2\.10|2001:db8::10) through the tunnel within 0\.5 s, though 10\.9\.9\.2 answers$/,
      /^silent$/,
    );

    await fault(
      s1,
      s2,
      "ip link set hafl-s2 down",
      raiseTun(),
      /^TUN down: hafl-s2 is down \(ip link set hafl-s2 up\)$/,
      /^silent$/,
    );
    await fault(
      s1,
      s2,
      "sysctl -qw net.ipv4.conf.hafl-s2.rp_filter=1",
      ["sysctl -qw net.ipv4.conf.hafl-s2.rp_filter=0"],
      /^rp_filter: rp_filter of hafl-s2 is 1: /,
      /^silent$/,
    );

    await s2.stop("SIGKILL");
    await says(
      "web",
      s1,
      s2,
      /^agent not running: it does not report, and nothing listens on UDP port 6080 of 10\.9\.9\.2$/,
      false,
    );
    const next = begin(2);
    await fine(s1, next);
    run(2, "ip link set up0 down");
    await says(
      "web",
      s1,
      next,
      /^host unreachable: it does not report, and nothing came back .*, and 10\.9\.9\.2 answers nothing else/,
      false,
    );
    await says("web", s1, next, /^uplink down: up0 is down \(ip link set up0 up\)$/);
    for (const line of [
      "ip link set up0 up",
      "ip -6 addr add fd09::2/64 dev up0 nodad",
      "ip -6 addr add fe80::2/64 dev up0 nodad",
    ])
      run(2, line);
    await fine(s1, next);
  }));

test("over IPv6 alone", () =>
  withAgents(
    config(MODE, (host) => [`fd09::${host}`]),
    async (s1, s2) => {
      await fine(s1, s2);
      await fault(s1, s2, "ip link set hafl-s2 down", raiseTun(), /^TUN down: /, /^silent$/);
      await s2.stop("SIGKILL");
      await says("web", s1, s2, /^agent not running: .* UDP port 6080 of fd09::2$/, false);
    },
  ));

test("the kernel of the prober has reset nothing that was probed", () => {
  const { stdout } = spawnSync("nft", ["list", "table", "inet", "seen"], { encoding: "utf8" });
  assert.match(stdout, /counter packets 0 bytes 0/);
});
