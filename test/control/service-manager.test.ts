import assert from "node:assert/strict";
import { test } from "node:test";
import type { AgentView } from "../../src/control/attendant.ts";
import { reportsTo, supervisionOf } from "../../src/control/service-manager.ts";
import { Manager } from "../support/manager.ts";

test("the manager is found in the environment", () => {
  const socket = "/run/systemd/notify";
  assert.equal(supervisionOf({}, 7), null);
  assert.equal(supervisionOf({ NOTIFY_SOCKET: "vsock:2:9" }, 7), null);
  assert.deepEqual(supervisionOf({ NOTIFY_SOCKET: socket }, 7), { socket, watchdogMs: null });
  assert.deepEqual(supervisionOf({ NOTIFY_SOCKET: "@abstract", WATCHDOG_USEC: "30000000" }, 7), {
    socket: "@abstract",
    watchdogMs: 30_000,
  });
  const watched = { NOTIFY_SOCKET: socket, WATCHDOG_USEC: "1000", WATCHDOG_PID: "7" };
  assert.deepEqual(supervisionOf(watched, 7), { socket, watchdogMs: 1 });
  assert.deepEqual(supervisionOf(watched, 8), { socket, watchdogMs: null }, "of the process that started this one");
  assert.deepEqual(supervisionOf({ ...watched, WATCHDOG_USEC: "0" }, 7), { socket, watchdogMs: null });
});

test("the manager is to wait for as long as routers are left to take in a withdrawal", async (t) => {
  const socket = `@hafl-manager-${process.pid}`;
  const manager = await Manager.listen(socket);
  t.after(() => manager.close());
  const view = { config: () => ({ bgp: { withdrawDelay: 120 } }) } as unknown as AgentView;
  await reportsTo({ socket, watchdogMs: null })(view).leaving!();
  const at = await manager.heard(/^STOPPING=1$/);
  assert.ok(manager.messages[at - 1]!.includes("EXTEND_TIMEOUT_USEC=180000000"), String(manager.messages[at - 1]));
});
