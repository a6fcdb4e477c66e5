/** An agent as a service on a host with one neighbour (support/one-host.ts): what its manager hears of it. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { VERSION } from "../../src/control/version.ts";
import { hotBuild } from "../../src/io/bundled.ts";
import { AgentProcess } from "../support/agent.ts";
import { Manager } from "../support/manager.ts";
import { folder, prepared, unharmed, useOneHost } from "../support/one-host.ts";

useOneHost();

for (const kind of ["a path", "an abstract name"]) {
  test(`${kind}: ready, alive, reloading, stopping`, () =>
    unharmed(async () => {
      const path = kind === "a path" ? join(folder(), "notify") : `@hafl-test-${process.pid}`;
      const manager = await Manager.listen(path);
      const agent = new AgentProcess(prepared().args, [], { NOTIFY_SOCKET: path, WATCHDOG_USEC: "300000" });
      const ready = await manager.heard(/^READY=1$/);
      assert.equal(ready, 1, "the first that it says");
      assert.deepEqual(manager.messages[0], ["READY=1", "STATUS=host s1, generation 1, fit"]);
      await agent.logged(/^ready/);
      await manager.heard(/^WATCHDOG=1$/, await manager.heard(/^WATCHDOG=1$/));
      agent.signal("SIGHUP");
      const reloading = await manager.heard(/^RELOADING=1$/);
      assert.match(manager.messages[reloading - 1]![1]!, /^MONOTONIC_USEC=\d+$/);
      await manager.heard(/^READY=1$/, reloading);
      agent.signal("SIGTERM");
      await manager.heard(/^STOPPING=1$/);
      assert.equal(await agent.ended(), 0);
      await manager.close();
    }));
}

test("the line that says ready names what runs: version, build, Node, offloads, uplink", () =>
  unharmed(async () => {
    const agent = new AgentProcess(prepared().args);
    await agent.logged(/^ready$/);
    agent.signal("SIGTERM");
    assert.equal(await agent.ended(), 0);
    const { messages } = agent;
    const line: Record<string, unknown> = { ...messages.find(({ ready }) => ready === true)! };
    assert.deepEqual([line.version, line.node, line.build], [VERSION, process.version, hotBuild("dataplane/worker.ts").build]);
    assert.match(String(line.build), /^[0-9a-f]{12}$/);
    assert.deepEqual([line.host, line.uplink, line.mode], ["s1", "up0", "af-packet"]);
    assert.deepEqual(Object.keys(line.offloads as object), ["sendTrains", "receiveTrains", "joinTcp", "joinUdp"]);
    assert.ok(Object.values(line.offloads as object).every((on) => typeof on === "boolean"));
    // Of a bundle that is not what was built there would be a warning.
    assert.deepEqual(
      messages.filter(({ level }) => level !== "info"),
      [],
    );
  }));

test("no manager listens: one warning, and the agent goes on", () =>
  unharmed(async () => {
    const more = { NOTIFY_SOCKET: join(folder(), "nobody"), WATCHDOG_USEC: "150000" };
    const agent = new AgentProcess(prepared().args, [], more);
    await agent.logged(/^the service manager is not told: sendto\(UNIX\) on \S+: ENOENT: /);
    agent.signal("SIGTERM");
    assert.equal(await agent.ended(), 0);
    assert.equal(agent.messages.filter(({ level }) => level !== "info").length, 1);
  }));
