import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { clockOffset, hostClock } from "../../src/shm/host-clock.ts";

test("a thread that is put aside between the readings of the two clocks does not get a wrong offset", () => {
  // Time passes by 1 us with each reading, and by 10 ms around all readings of the thread's clock but one.
  let now = 5000;
  let reading = 0;
  const host = (): number => {
    now += 0.001;
    return now;
  };
  const thread = (): number => {
    reading++;
    if (reading !== 30 && reading % 2 === 0) now += 10;
    const value = now - 1000;
    if (reading !== 30 && reading % 2 === 1) now += 10;
    return value;
  };
  assert.ok(Math.abs(clockOffset(host, thread) - 1000) < 0.01);
});

test("threads have the same clock", async () => {
  const program = `
    const { parentPort } = require("node:worker_threads");
    import(${JSON.stringify(new URL("../../src/shm/host-clock.js", import.meta.url).href)}).then(({ hostClock }) =>
      parentPort.on("message", (end) => end ? process.exit(0) : parentPort.postMessage(hostClock())));`;
  const workers = [new Worker(program, { eval: true }), new Worker(program, { eval: true })];
  const ask = (worker: Worker): Promise<number> =>
    new Promise((resolve) => {
      worker.once("message", resolve);
      worker.postMessage(false);
    });
  // What another thread says lies between the question and the answer; of many questions one is quick.
  for (const worker of workers) {
    let apart = Number.POSITIVE_INFINITY;
    let early = 0;
    for (let i = 0; i < 200; i++) {
      const before = hostClock();
      const at = await ask(worker);
      const after = hostClock();
      apart = Math.min(apart, after - before);
      early = Math.max(early, before - at, at - after);
    }
    assert.ok(early < 0.1, `${early} ms outside of the question and the answer (the quickest took ${apart} ms)`);
    worker.postMessage(true);
  }
});

test("processes have the same clock", async () => {
  const program = `
    import(${JSON.stringify(new URL("../../src/shm/host-clock.js", import.meta.url).href)}).then(({ hostClock }) => {
      process.on("message", () => process.send(hostClock()));
      process.send("ready");
    });`;
  const child = spawn(process.execPath, ["-e", program], { stdio: ["ignore", "ignore", "inherit", "ipc"] });
  const heard = async (): Promise<unknown> => (await once(child, "message"))[0];
  try {
    await heard();
    let early = 0;
    for (let i = 0; i < 200; i++) {
      const before = hostClock();
      child.send("now");
      const at = Number(await heard());
      early = Math.max(early, before - at, at - hostClock());
    }
    assert.ok(early < 0.1, `${early} ms outside of the question and the answer`);
  } finally {
    child.kill();
  }
});
