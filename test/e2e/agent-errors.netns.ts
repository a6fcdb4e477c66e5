/**
 * An agent on a host with one neighbour (support/one-host.ts). However the agent ends, the host's network is as it was, and
 * whatever refuses it says why in one line.
 */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { renameSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { AgentProcess, MAIN, runToEnd } from "../support/agent.ts";
import { ip } from "../support/netns.ts";
import { allAnswer, answering, CONFIG, DIPS, folder, prepared, unharmed, useOneHost, VIPS } from "../support/one-host.ts";

useOneHost();

for (const mode of ["af-packet", "tun"]) {
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    test(`${mode}: serves the VIPs, and leaves no trace after ${signal}`, () =>
      unharmed(async () => {
        const agent = new AgentProcess(prepared(CONFIG.replace("af-packet", mode)).args);
        await agent.logged(/^ready/);
        await allAnswer([...VIPS, ...DIPS]);
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
      await allAnswer([...VIPS, ...DIPS]);
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
      for (const path of [folder(), file]) execFileSync("chmod", ["a+rX", path]);
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
    await allAnswer(VIPS);
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
