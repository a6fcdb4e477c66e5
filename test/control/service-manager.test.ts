import assert from "node:assert/strict";
import { test } from "node:test";
import { supervisionOf } from "../../src/control/service-manager.ts";

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
