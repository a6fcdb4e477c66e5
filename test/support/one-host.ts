/**
 * A network namespace as a host with one neighbour, for tests that run agents in it; the neighbour is client and router in one.
 *
 *     neighbour 10.9.9.2, fd09::2 ---- up0 10.9.9.1, fd09::1 (this namespace: agent "s1", VIPs 192.0.2.10, 2001:db8::10)
 */
import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { after, before } from "node:test";
import { ip, sysctl, until } from "./netns.ts";
import { agentFolder } from "./unprivileged.ts";

/** The machine that tests run on is often overloaded; the agent is not to care. */
export const CONFIG = `cluster: test
seed: 0123456789abcdef0123456789abcdef
hosts:
  - { name: s1, dip: [10.9.9.1, "fd09::1"] }
services:
  - name: web
    vips: [192.0.2.10, "2001:db8::10"]
    ports: { tcp: [8080] }
table: { size: 1009 }
io: { mode: af-packet, uplink: up0, workers: 2 }
load: { overload: 1 }
`;
export const DIPS = ["10.9.9.1", "[fd09::1]"];
export const VIPS = ["192.0.2.10", "[2001:db8::10]"];

let dir = "";
let neighbour: ChildProcess;
const server = createServer((_, response) => response.end("s1"));

/** Makes the host and its neighbour before the tests of the file that calls this, and takes them away after them. */
export function useOneHost(): void {
  before(begin);
  after(() => {
    server.close();
    // One whose client went away unheard would keep this process from ending.
    server.closeAllConnections();
    neighbour.kill("SIGKILL");
    rmSync(dir, { recursive: true });
  });
}

async function begin(): Promise<void> {
  dir = agentFolder("hafl-agent-");
  ip("link set lo up");
  // Values that the agent has to get around, and to put back.
  sysctl("net/ipv4/conf/all/rp_filter", 1);
  neighbour = spawn("setpriv", ["--pdeathsig", "KILL", "unshare", "--net", "sleep", "300"], { stdio: "ignore" });
  await until("the neighbour's namespace", () => inNeighbour("ip", "link", "set", "lo", "up"));
  ip(`link add up0 type veth peer name n0 netns ${neighbour.pid}`);
  for (const device of ["up0", "lo"]) ip(`link set ${device} addrgenmode none`);
  ip("link set up0 up");
  ip("addr add 10.9.9.1/24 dev up0");
  ip("-6 addr add fd09::1/64 dev up0 nodad");
  for (const line of [
    "link set n0 addrgenmode none",
    "link set n0 up",
    "addr add 10.9.9.2/24 dev n0",
    "-6 addr add fd09::2/64 dev n0 nodad",
    "route add 192.0.2.0/24 via 10.9.9.1",
    "-6 route add 2001:db8::/64 via fd09::1",
  ]) {
    assert.ok(inNeighbour("ip", ...line.split(" ")), line);
  }
  await new Promise<void>((resolve) => server.listen(8080, "::", resolve));
}

/** The directory of the configs and runtime directories of prepared(). */
export const folder = (): string => dir;

/** The command line that runs a command in the neighbour's namespace. */
export const onNeighbour = (command: readonly string[]): string[] => ["nsenter", "-t", String(neighbour.pid), "-n", ...command];

function inNeighbour(...command: string[]): boolean {
  const [program, ...args] = onNeighbour(command);
  return spawnSync(program!, args, { stdio: "ignore" }).status === 0;
}

/** Which of the addresses answer the neighbour's HTTP request. The server is in this process, hence not synchronously. */
export async function answering(addresses: readonly string[], withinMs = 600): Promise<string[]> {
  // The first fetch of all loads its code, which on a busy machine takes as long as an answer may.
  const program = `
    await fetch("http://127.0.0.1:1/").catch(() => {});
    const one = (a) => fetch("http://" + a + ":8080/", { signal: AbortSignal.timeout(${withinMs}) }).then((r) => r.text()).then((t) => t === "s1" && a, () => false);
    Promise.all(process.argv.slice(1).map(one)).then((found) => { console.log(JSON.stringify(found.filter(Boolean))); process.exit(); });`;
  const [command, ...args] = onNeighbour([process.execPath, "--input-type=module", "-e", program, ...addresses]);
  const child = spawn(command!, args, { stdio: ["ignore", "pipe", "inherit"] });
  let text = "";
  for await (const chunk of child.stdout) text += chunk;
  return JSON.parse(text) as string[];
}

/** Looks that all of these answer, however long a busy machine takes: a first packet that is lost is sent again after a second. */
export async function allAnswer(addresses: readonly string[]): Promise<void> {
  assert.deepEqual(await answering(addresses, 5_000), addresses);
}

/** All that an agent may change. */
function hostNetwork(): string {
  const lines = [
    "rule show",
    "-6 rule show",
    "route show table all",
    "-6 route show table all",
    "-o -4 addr show",
    "-o -6 addr show",
    "-o link show",
  ].map((line) => ip(line));
  const settings = execFileSync(
    "sh",
    [
      "-c",
      "cd /proc/sys/net && grep -r . ipv4/conf ipv6/conf 2>/dev/null | grep -E 'rp_filter|arp_|forwarding|accept_ra:|autoconf' | sort",
    ],
    { encoding: "utf8" },
  );
  return [...lines, settings].join("\n");
}

let count = 0;
/** Writes a config and gives the arguments that run an agent by it, in a runtime directory of its own. */
export function prepared(text = CONFIG): { file: string; runtime: string; args: string[] } {
  count++;
  const file = join(dir, `config-${count}.yaml`);
  writeFileSync(file, text);
  const runtime = join(dir, `run-${count}`);
  return { file, runtime, args: ["run", "--config", file, "--runtime-dir", runtime] };
}

/** Runs something and then looks that the host is as it was before, works, and has nothing left of an agent. */
export async function unharmed(work: () => Promise<void>): Promise<void> {
  const was = hostNetwork();
  await work();
  assert.equal(hostNetwork(), was);
  assert.deepEqual(await answering([...VIPS, ...DIPS]), DIPS);
  assert.deepEqual(
    readdirSync(dir).filter((name) => name.startsWith(".")),
    [],
  );
}
