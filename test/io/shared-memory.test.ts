import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { Worker } from "node:worker_threads";
import { native } from "../../src/io/native.ts";

const folder = mkdtempSync(join(tmpdir(), "hafl-map-"));
after(() => rmSync(folder, { recursive: true }));

test("a mapped file is what every mapping and every reader sees, and it grows", () => {
  const path = join(folder, "words");
  const a = new Int32Array(native().mapFile(path, 4096, true));
  const b = new Int32Array(native().mapFile(path, 4096, false));
  a[5] = 0x01020304;
  assert.equal(Atomics.load(b, 5), 0x01020304);
  assert.equal(readFileSync(path).readInt32LE(20), 0x01020304);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  const larger = new Int32Array(native().mapFile(path, 8192, true));
  assert.equal(larger[5], 0x01020304);
  assert.equal(larger[2047], 0);
});

test("wait tells which descriptor is ready, drains wakes, and times out", () => {
  const n = native();
  const [quiet, loud] = [n.createWake(), n.createWake()];
  const waiter = n.createWaiter(Int32Array.of(quiet, loud));
  n.wake(loud);
  n.wake(loud);
  assert.equal(n.wait(waiter, -1, 0), 0b10);
  assert.equal(n.wait(waiter, 0, 0), 0);
  n.wake(quiet);
  n.wake(loud);
  assert.equal(n.wait(waiter, 1000, 0), 0b11);
  n.wake(loud);
  assert.equal(n.wait(waiter, -1, 1_000_000), 0b10);
  assert.equal(n.wait(waiter, 0, 1000), 0);
  n.close(quiet);
  assert.throws(() => n.wait(waiter, 0, 0), { code: "EBADF", syscall: "poll" });
  n.close(loud);
});

const WORKER = `
  import { native, useAddon } from "${new URL("../../src/io/native.js", import.meta.url).href}";
  import { parentPort, workerData } from "node:worker_threads";
  if (workerData.addon) useAddon(workerData.addon);
  const words = new Int32Array(native().mapFile(workerData.path, 4096, false));
  const waiter = native().createWaiter(Int32Array.of(workerData.wake));
  parentPort.postMessage("ready");
  const mask = native().wait(waiter, 10000, 0);
  words[workerData.index] = mask;
  parentPort.postMessage("done");`;

test("threads load the addon for themselves, share the file, and are woken from another thread", async () => {
  const path = join(folder, "threads");
  const words = new Int32Array(native().mapFile(path, 4096, true));
  const url = new URL(`data:text/javascript,${encodeURIComponent(WORKER)}`);
  await Promise.all(
    [0, 1].map(async (index) => {
      const wake = native().createWake();
      const worker = new Worker(url, { workerData: { path, wake, index, addon: process.env.HAFL_NATIVE } });
      await new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
      native().wake(wake);
      const code = await new Promise((resolve, reject) => worker.once("exit", resolve).once("error", reject));
      assert.equal(code, 0);
      native().close(wake);
    }),
  );
  assert.deepEqual([...words.subarray(0, 2)], [1, 1]);
});

test("mappings and handles are freed with their collection", async () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const mappings = () => readFileSync("/proc/self/maps", "utf8").split(join(folder, "collected")).length - 1;
  const pool = new Uint8Array(1 << 16);
  for (let i = 0; i < 50; i++) {
    native().mapFile(join(folder, "collected"), 4096, true);
    native().createReceiver("gue", 0, pool, 0, 2048, 16, new Int32Array(16 * 12));
  }
  for (let i = 0; i < 20 && mappings() > 5; i++) {
    collect();
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.ok(mappings() <= 5, `${mappings()} of 50 are still mapped`);
});
