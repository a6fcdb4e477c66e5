/**
 * An agent on a host with one neighbour; the neighbour is client and router in one. However the agent ends, the host's
 * network is as it was, and whatever refuses it says why in one line.
 *
 *     neighbour 10.9.9.2, fd09::2 ---- up0 10.9.9.1, fd09::1 (this namespace: agent "s1", VIPs 192.0.2.10, 2001:db8::10)
 */
import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { AgentProcess, MAIN, runToEnd } from "../support/agent.ts";
import { ip, sysctl, until } from "../support/netns.ts";

const CONFIG = `cluster: test
seed: 0123456789abcdef0123456789abcdef
hosts:
  - { name: s1, dip: [10.9.9.1, "fd09::1"] }
services:
  - name: web
    vips: [192.0.2.10, "2001:db8::10"]
    ports: { tcp: [8080] }
table: { size: 1009 }
io: { mode: af-packet, uplink: up0, workers: 2 }
`;
const DIPS = ["10.9.9.1", "[fd09::1]"];
const VIPS = ["192.0.2.10", "[2001:db8::10]"];

let dir = "";
let neighbour: ChildProcess;
const server = createServer((_, response) => response.end("s1"));

before(async () => {
  dir = mkdtempSync(join(tmpdir(), "hafl-agent-"));
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
});

after(() => {
  server.close();
  neighbour.kill("SIGKILL");
  rmSync(dir, { recursive: true });
});

function inNeighbour(...command: string[]): boolean {
  return spawnSync("nsenter", ["-t", String(neighbour.pid), "-n", ...command], { stdio: "ignore" }).status === 0;
}

/** Which of the addresses answer the neighbour's HTTP request. The server is in this process, hence not synchronously. */
async function answering(addresses: readonly string[]): Promise<string[]> {
  const program = `
    const one = (a) => fetch("http://" + a + ":8080/", { signal: AbortSignal.timeout(400) }).then((r) => r.text()).then((t) => t === "s1" && a, () => false);
    Promise.all(process.argv.slice(1).map(one)).then((found) => { console.log(JSON.stringify(found.filter(Boolean))); process.exit(); });`;
  const child = spawn("nsenter", ["-t", String(neighbour.pid), "-n", process.execPath, "-e", program, ...addresses], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let text = "";
  for await (const chunk of child.stdout) text += chunk;
  return JSON.parse(text) as string[];
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
function prepared(text = CONFIG): { file: string; runtime: string; args: string[] } {
  count++;
  const file = join(dir, `config-${count}.yaml`);
  writeFileSync(file, text);
  const runtime = join(dir, `run-${count}`);
  return { file, runtime, args: ["run", "--config", file, "--runtime-dir", runtime] };
}

/** Runs something and then looks that the host is as it was before, works, and has nothing left of an agent. */
async function unharmed(work: () => Promise<void>): Promise<void> {
  const was = hostNetwork();
  await work();
  assert.equal(hostNetwork(), was);
  assert.deepEqual(await answering([...VIPS, ...DIPS]), DIPS);
  assert.deepEqual(
    readdirSync(dir).filter((name) => name.startsWith(".")),
    [],
  );
}

for (const mode of ["af-packet", "tun"]) {
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    test(`${mode}: serves the VIPs, and leaves no trace after ${signal}`, () =>
      unharmed(async () => {
        const agent = new AgentProcess(prepared(CONFIG.replace("af-packet", mode)).args);
        await agent.logged(/^ready/);
        assert.deepEqual(await answering([...VIPS, ...DIPS]), [...VIPS, ...DIPS]);
        agent.signal(signal);
        assert.equal(await agent.ended(), 0);
        assert.deepEqual(
          agent.messages.filter(({ level }) => level !== "info"),
          [],
        );
      }));
  }

  test(`${mode}: killed, the VIPs are silent and the host works; the next start takes over and serves`, () =>
    unharmed(async () => {
      const { args } = prepared(CONFIG.replace("af-packet", mode));
      const killed = new AgentProcess(args);
      await killed.logged(/^ready/);
      killed.signal("SIGKILL");
      await killed.ended();
      assert.deepEqual(await answering([...VIPS, ...DIPS]), DIPS);
      const next = new AgentProcess(args);
      await next.logged(/^an agent that died had left its rules and addresses: they are taken over/);
      await next.logged(/^ready/);
      assert.deepEqual(await answering([...VIPS, ...DIPS]), [...VIPS, ...DIPS]);
      next.signal("SIGTERM");
      assert.equal(await next.ended(), 0);
    }));

  test(`${mode}: killed, hafl down puts the host back`, () =>
    unharmed(async () => {
      const { args, runtime } = prepared(CONFIG.replace("af-packet", mode));
      const killed = new AgentProcess(args);
      await killed.logged(/^ready/);
      const refused = await runToEnd(["down", "--runtime-dir", runtime]);
      assert.deepEqual([refused.code, refused.lines.length], [1, 1]);
      assert.match(refused.lines[0]!, /instance "s1" with pid \d+ is running here/);
      killed.signal("SIGKILL");
      await killed.ended();
      assert.deepEqual(await runToEnd(["down", "--runtime-dir", runtime]), { code: 0, lines: [] });
    }));
}

test("a worker that dies takes the agent with it: one line, exit code 1", () =>
  unharmed(async () => {
    const agent = new AgentProcess(prepared(CONFIG.replace("af-packet", "tun")).args);
    await agent.logged(/^ready/);
    ip("link del hafl-s1");
    assert.equal(await agent.ended(), 1);
    const grave = agent.messages.filter(({ level }) => level !== "info");
    assert.equal(grave.length, 1, agent.lines.join("\n"));
    assert.match(grave[0]!.msg, /^worker \d died: read\(TUN\): EBADFD: the device is gone$/);
  }));

/** Starts that are refused: what is different, the exit code, and the one line. */
const REFUSED: [what: string, change: (text: string) => string, args: string[], code: number, line: RegExp][] = [
  ["a typo in the YAML", (text) => text.replace("hosts:", "hosts"), [], 2, /^\S+\.yaml:\d+:\d+: not YAML: /],
  [
    "an unknown key",
    (text) => text.replace("ports:", "prots:"),
    [],
    2,
    /^\S+\.yaml: services\[0\]\.prots: unknown key \(did you mean "ports"\?\)$/,
  ],
  [
    "a duplicate host",
    (text) => text.replace("services:", "  - { name: s1, dip: 10.9.9.3 }\nservices:"),
    [],
    2,
    /^\S+\.yaml: hosts\[1\]\.name: "s1" is the name of hosts\[0\] already/,
  ],
  [
    "a VIP equal to a DIP",
    (text) => text.replace("192.0.2.10", "10.9.9.1"),
    [],
    2,
    /^\S+\.yaml: services\[0\]\.vips\[0\]: 10\.9\.9\.1 is the DIP of hosts\[0\] "s1"/,
  ],
  [
    "a missing uplink",
    (text) => text.replace("up0", "eth9"),
    [],
    1,
    /^\S+\.yaml: io\.uplink: no device "eth9" on this machine \(it has lo, up0;/,
  ],
  ["a missing uplink by option", (text) => text, ["--uplink", "eth9"], 1, /^--uplink: no device "eth9" on this machine/],
  [
    "a DIP that is not here",
    (text) => text.replace("10.9.9.1,", "10.9.9.7,"),
    ["--host", "s1"],
    1,
    /^\S+\.yaml: hosts\[0\]\.dip: 10\.9\.9\.7 of "s1" is on no device of this machine/,
  ],
  ["an unknown host", (text) => text, ["--host", "s7"], 2, /^--host: no host is named "s7"/],
  [
    "a runtime directory that cannot be made",
    (text) => text,
    ["--runtime-dir", "/proc/nowhere"],
    1,
    /^\/proc\/nowhere: cannot be made: ENOENT/,
  ],
];

for (const [what, change, more, code, line] of REFUSED) {
  test(`refused in one line: ${what}`, () =>
    unharmed(async () => {
      const refused = await runToEnd([...prepared(change(CONFIG)).args, ...more]);
      assert.deepEqual([refused.code, refused.lines.length], [code, 1], refused.lines.join("\n"));
      assert.match(refused.lines[0]!, line);
    }));
}

test("refused in one line: the GUE port is taken", () =>
  unharmed(async () => {
    const other = createSocket({ type: "udp4", reuseAddr: true });
    await new Promise<void>((resolve) => other.bind(6080, "0.0.0.0", resolve));
    const refused = await runToEnd(prepared().args);
    other.close();
    assert.deepEqual([refused.code, refused.lines.length], [1, 1], refused.lines.join("\n"));
    assert.match(refused.lines[0]!, /^\S+\.yaml: gue\.port: 10\.9\.9\.1 UDP port 6080 is in use by another program/);
  }));

test("refused in one line: no permission", () =>
  unharmed(async () => {
    const readable = spawnSync("setpriv", ["--reuid=65534", "--clear-groups", "test", "-r", MAIN]).status === 0;
    for (const who of [["--bounding-set=-all"], ...(readable ? [["--reuid=65534", "--regid=65534", "--clear-groups"]] : [])]) {
      const { args, file } = prepared();
      for (const path of [dir, file]) execFileSync("chmod", ["a+rX", path]);
      const refused = await runToEnd(args, ["setpriv", ...who]);
      assert.deepEqual([refused.code, refused.lines.length], [1, 1], refused.lines.join("\n"));
      assert.match(refused.lines[0]!, /^no permission: CAP_NET_ADMIN and CAP_NET_RAW are needed/);
    }
  }));

test("refused in one line: a second agent for the same instance; the first is not disturbed", () =>
  unharmed(async () => {
    const { args } = prepared();
    const first = new AgentProcess(args);
    await first.logged(/^ready/);
    const second = await runToEnd(args);
    assert.deepEqual([second.code, second.lines.length], [1, 1], second.lines.join("\n"));
    assert.match(second.lines[0]!, /instance "s1" with pid \d+ is running here/);
    assert.deepEqual(await answering(VIPS), VIPS);
    first.signal("SIGTERM");
    assert.equal(await first.ended(), 0);
  }));

test("--dry-run prints commands and changes nothing", () =>
  unharmed(async () => {
    const out = execFileSync(process.execPath, [MAIN, ...prepared().args, "--dry-run"], { encoding: "utf8" });
    assert.match(out, /^ip -4 rule add pref 2 table local protocol 104$/m);
    assert.match(out, /^ip -4 addr add 192\.0\.2\.10\/32 dev lo scope host$/m);
  }));

test("reload: a good file is taken up, a bad one is named and changes nothing, however it is written", () =>
  unharmed(async () => {
    const { args, file } = prepared();
    const agent = new AgentProcess(args);
    await agent.logged(/^ready/);
    const replace = (text: string): void => {
      writeFileSync(`${file}.new`, text);
      renameSync(`${file}.new`, file);
    };
    writeFileSync(file, CONFIG.replace("192.0.2.10,", "192.0.2.11,"));
    await agent.logged(/^generation 2: web 0 of 1009 buckets moved/);
    assert.deepEqual(await answering(["192.0.2.11", ...VIPS]), ["192.0.2.11", VIPS[1]]);
    replace(CONFIG.replace("hosts:", "hsots:"));
    await agent.logged(/^config refused, nothing changed: \S+\.yaml: hsots: unknown key \(did you mean "hosts"\?\)$/);
    replace(CONFIG.replace("workers: 2", "workers: 3"));
    await agent.logged(
      /^config refused, nothing changed: \S+\.yaml: io\.workers: cannot change from 2 to 3 while the agent runs/,
    );
    assert.deepEqual(await answering(["192.0.2.11", ...VIPS]), ["192.0.2.11", VIPS[1]]);
    replace(CONFIG);
    await agent.logged(/^generation 3: /);
    agent.signal("SIGHUP");
    await agent.logged(/^config read again: nothing changed in it/);
    assert.deepEqual(await answering(["192.0.2.11", ...VIPS]), VIPS);
    agent.signal("SIGTERM");
    assert.equal(await agent.ended(), 0);
  }));
