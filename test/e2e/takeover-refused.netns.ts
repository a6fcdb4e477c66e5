/** Takeovers on a host with one neighbour (support/one-host.ts): what is refused, in one line, and what goes on across those that are not. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { readStatus } from "../../src/control/status.ts";
import type { Message } from "../../src/control/takeover-protocol.ts";
import { native } from "../../src/io/native.ts";
import { readCapture } from "../../src/io/pcap.ts";
import { AgentProcess, MAIN, runToEnd } from "../support/agent.ts";
import { libpcapObstacle } from "../support/libpcap.ts";
import { until } from "../support/netns.ts";
import { folder, onNeighbour, prepared, unharmed, useOneHost } from "../support/one-host.ts";
import { CONFIG, logsAgain, serves, stopped, takenOver, taker } from "../support/takeovers.ts";
import { giveToAgent } from "../support/unprivileged.ts";

useOneHost();

test("two at once: the second is refused", () =>
  unharmed(async () => {
    const { args, runtime } = prepared(CONFIG);
    const agent = new AgentProcess(args);
    await agent.logged(/^ready/);
    const first = taker(runtime, "descriptors");
    await first.said("descriptors");
    const second = await runToEnd([...args, "--takeover"]);
    assert.deepEqual([second.code, second.lines.length], [1, 1], second.lines.join("\n"));
    assert.match(
      second.lines[0]!,
      new RegExp(`was not taken over, nothing has changed: pid ${first.child.pid} is taking over from it already$`),
    );
    // Nor are the descriptors handed out a second time.
    assert.throws(() => native().receiveDescriptors(join(runtime, "takeover"), '{"type":"descriptors"}\n', 1, 2_000), {
      code: "ECONNRESET",
    });
    await first.killed();
    await logsAgain(agent, /has not taken over/, 0);
    await stopped(agent);
  }));

test("refused in one line: nobody is running, and what a running agent cannot change", () =>
  unharmed(async () => {
    const { args, file, runtime } = prepared(CONFIG);
    const refused = async (code: number, line: RegExp, ...more: string[]): Promise<void> => {
      const { code: was, lines } = await runToEnd([...args, "--takeover", ...more]);
      assert.deepEqual([was, lines.length], [code, 1], lines.join("\n"));
      assert.match(lines[0]!, line);
    };
    await refused(1, /^\S+: no agent is running here that could be taken over \(start without --takeover\)$/);
    const agent = new AgentProcess(args);
    await agent.logged(/^ready/);
    const running = async (from: string, to: string, line: RegExp): Promise<void> => {
      writeFileSync(file, CONFIG.replace(from, to));
      await refused(2, line);
    };
    await running(
      "workers: 2",
      "workers: 3",
      /^\S+\.yaml: io\.workers: cannot change from 2 to 3 while the agent runs \(change it back, /,
    );
    await running("af-packet", "tun", /^\S+\.yaml: io\.mode: cannot change from af-packet to tun while the agent runs/);
    await running("table:", "gue: { port: 6081 }\ntable:", /^\S+\.yaml: gue\.port: cannot change from 6080 to 6081 while/);
    await running(
      "table:",
      "flowTable: { size: 5000 }\ntable:",
      /^\S+\.yaml: flowTable\.size: cannot change from 1000000 to 5000/,
    );
    await running(
      ', "fd09::1"]',
      "]",
      /^\S+\.yaml: hosts\[0\]\.dip: cannot change from 10\.9\.9\.1, fd09::1 to 10\.9\.9\.1 while/,
    );
    await running("hosts:", "hsots:", /^\S+\.yaml: hsots: unknown key/);
    writeFileSync(file, CONFIG);
    await refused(
      2,
      /^--uplink: the running agent has up0, not lo \(say the same, or stop it and start without --takeover\)$/,
      "--uplink",
      "lo",
    );
    await refused(2, /^--instance: the running agent has s1, not other /, "--instance", "other");
    await refused(2, /'--takeover' cannot be used with option '--dry-run'/, "--dry-run");
    // The config file changed under the agent as well; none of it was good for it.
    assert.equal(readStatus(runtime).generation, 1);
    await serves();
    await stopped(agent);
    writeFileSync(join(runtime, "takeover"), "");
    giveToAgent(join(runtime, "takeover"));
    await refused(1, /^\S+: no agent is running here that could be taken over/);
  }));

test("refused in one line: an agent that says what it should not, or nothing; told to stop meanwhile it does", () =>
  unharmed(async () => {
    const { args, runtime } = prepared(CONFIG);
    mkdirSync(runtime);
    const lock = native().lockFile(join(runtime, "lock"));
    for (const path of [runtime, join(runtime, "lock")]) giveToAgent(path);
    const { code, lines } = await runToEnd([...args, "--takeover"]);
    assert.deepEqual([code, lines.length], [1, 1]);
    assert.match(
      lines[0]!,
      /: another agent cannot be taken over: it is just starting, or .* \(try again, or stop it and start without --takeover\)$/,
    );

    let answer = "";
    const server = createServer((socket) => {
      socket.on("error", () => {});
      socket.write(answer);
      if (answer !== "") socket.end();
    });
    server.listen(join(runtime, "takeover"));
    await once(server, "listening");
    giveToAgent(join(runtime, "takeover"));
    const offer = {
      type: "offer",
      pid: 1,
      instance: "s1",
      host: "s1",
      uplink: "up0",
      table: 1,
      config: "hosts: 3",
      drainAt: null,
      mtus: {},
    };
    const list = { descriptors: 1, lock: 0, counting: { inKernel: 0, choice: null, counting: [], slots: [] } };
    const set = {
      workers: [{ uplinkFd: 0, deliveryFd: 0, gueFds: [], socketsFd: 0 }],
      senders4: [],
      senders6: [],
      rawFd4: -1,
      rawFd6: -1,
    };
    const wrong: [string, RegExp][] = [
      ["hello\n", /not a message: "hello"$/],
      ['{"type":"offer","pid":1}\n', /not a message: instance: Invalid input/],
      ['{"type":"done"}\n', /"done" came where "offer" was to come$/],
      ['{"type":"refused","why":"it speaks version 7 of takeovers, not 1"}\n', /: it speaks version 7 of takeovers, not 1$/],
      [
        `${JSON.stringify({ ...offer, ...list, set })}\n`,
        /its config: .* \(of another version: stop it and start without --takeover\)$/,
      ],
      [
        `${JSON.stringify({ ...offer, ...list, set, config: CONFIG })}\n`,
        /recvmsg\(SCM_RIGHTS\) on \S+: ECONNRESET: the other end closed the connection$/,
      ],
    ];
    for (const [said, line] of wrong) {
      answer = said;
      const refused = await runToEnd([...args, "--takeover"]);
      assert.deepEqual([refused.code, refused.lines.length], [1, 1], refused.lines.join("\n"));
      assert.match(refused.lines[0]!, line);
      assert.match(refused.lines[0]!, /was not taken over, nothing has changed: /);
    }
    answer = "";
    const told = new AgentProcess([...args, "--takeover"]);
    const connected = once(server, "connection");
    await connected;
    told.signal("SIGTERM");
    assert.equal(await told.ended(), 0);
    assert.match(told.messages.at(-1)!.msg, /^told to stop before it had taken over: the other agent goes on$/);
    server.close();
    native().close(lock);
  }));

test("only root and the agent's own user may take over", () =>
  unharmed(async () => {
    const { args, runtime } = prepared(CONFIG);
    const agent = new AgentProcess(args);
    await agent.logged(/^ready/);
    const path = join(runtime, "takeover");
    const ask = `
      const socket = require("node:net").connect(${JSON.stringify(path)});
      socket.on("connect", () => socket.write('{"type":"hello","protocol":1,"pid":1}\\n'));
      socket.on("error", ({ code }) => (console.log(code), process.exit()));
      socket.on("data", (text) => process.stdout.write(text)).on("end", () => process.exit());`;
    const asNobody = (): string =>
      execFileSync("setpriv", ["--reuid=65534", "--regid=65534", "--clear-groups", process.execPath, "-e", ask], {
        encoding: "utf8",
        cwd: "/",
        timeout: 5_000,
      }).trim();
    chmodSync(dirname(runtime), 0o711);
    assert.equal(asNobody(), "EACCES");
    chmodSync(path, 0o666);
    const refused = JSON.parse(asNobody().split("\n")[0]!) as Message;
    assert.deepEqual(refused, { type: "refused", why: "only root and the user that the agent runs as may take over" });
    await stopped(agent);
  }));

/** Datagrams from the neighbour to a port of the VIP. */
const send = (port: number, count: number): void => {
  const script = `
    const s = require("node:dgram").createSocket("udp4"); let left = ${count};
    const one = () => left-- > 0 ? s.send("0123456789", ${port}, "192.0.2.10", one) : s.close(); one();`;
  const [command, ...rest] = onNeighbour([process.execPath, "-e", script]);
  execFileSync(command!, rest, { timeout: 10_000 });
};

test("a config that has changed, counters, captures and look-ups go on across a takeover", { skip: libpcapObstacle }, () =>
  unharmed(async () => {
    const rules = (more: string): string => `drop: [{ name: ntp, match: "udp dst port 123", sample: 2 }${more}]\ntable:`;
    const { args, runtime } = prepared(CONFIG.replace("table:", rules("")));
    const agent = new AgentProcess(args);
    await agent.logged(/^ready/);
    const where = ["--runtime-dir", runtime];
    const out = join(folder(), "samples.pcapng");
    const capture = new AgentProcess(["capture", ...where, "--out", out, "--count", "60"]);
    send(123, 100);
    send(9999, 7);
    const other = CONFIG.replace("192.0.2.10,", "192.0.2.10, 192.0.2.11,");
    const changed = prepared(other.replace("table:", rules(', { name: dns, match: "udp src port 53" }')));
    const next = await takenOver(["run", "--config", changed.file, ...where], agent);
    await next.logged(/^generation 2: web 0 of 1009 buckets moved/);
    send(123, 100);
    send(9999, 7);
    const counts = (): number[] => {
      const { rules: counted, verdicts } = readStatus(runtime);
      return [counted.ntp!.packets, verdicts.no_service!];
    };
    await until(`${counts()} packets counted`, () => counts().join() === "200,14", 5_000);
    assert.equal(await capture.ended(), 0);
    assert.equal([...readCapture(readFileSync(out))].length, 60, "samples of before and after");
    await serves(["192.0.2.11"]);
    const flow = ["--flow", "tcp 10.9.9.2:1234 > 192.0.2.11:8080"];
    assert.match(execFileSync(process.execPath, [MAIN, "lookup", ...where, ...flow], { encoding: "utf8" }), /\bs1\b/);
    const { code, lines } = await runToEnd(["down", ...where]);
    assert.equal(code, 1);
    assert.match(lines[0]!, new RegExp(`instance "s1" with pid ${next.pid} is running here`));
    writeFileSync(`${changed.file}.new`, CONFIG);
    renameSync(`${changed.file}.new`, changed.file);
    await next.logged(/^generation 3: /);
    await stopped(next);
  }),
);
