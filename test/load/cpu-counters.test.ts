import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import {
  type Counters,
  hostCounters,
  hostTime,
  isLimited,
  type KernelFiles,
  loadBetween,
  readCounters,
  stalled,
} from "../../src/load/cpu-counters.ts";

const PSI = `some avg10=0.74 avg60=0.51 avg300=0.57 total=6054668
full avg10=0.00 avg60=0.00 avg300=0.00 total=77
`;

/** A tree of the kernel's files for the time of a test. */
function kernel(files: Readonly<Record<string, string>>, use: (files: KernelFiles) => void): void {
  const root = mkdtempSync(join(tmpdir(), "hafl-load-"));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  try {
    use({ proc: join(root, "proc"), cgroups: join(root, "cg") });
  } finally {
    rmSync(root, { recursive: true });
  }
}

test("pressure and time of CPUs are read as the kernel writes them", () => {
  assert.equal(stalled(PSI, "some"), 6054668);
  assert.equal(stalled(PSI, "full"), 77);
  assert.equal(stalled(null, "some"), 0);
  // user nice system idle iowait irq softirq steal guest guest_nice
  assert.deepEqual(hostTime("cpu  10 1 20 1000 50 2 3 4 5 6\ncpu0 1 1 1 1 1 1 1 1 1 1\n"), { there: 1090, used: 40 });
  assert.equal(hostTime("nothing"), null);
});

test("the machine: /proc/stat and /proc/pressure, also where there is no pressure", () => {
  const stat = "cpu  10 0 20 1000 50 0 0 0 0 0\n";
  kernel({ "proc/stat": stat, "proc/pressure/cpu": PSI, "proc/pressure/memory": PSI }, (files) => {
    assert.deepEqual(readCounters(files, null, 2, 5), { at: 5, used: 30, there: 1080, waited: 6054668, thrashed: 77 });
  });
  kernel({ "proc/stat": stat }, (files) => assert.equal(readCounters(files, null, 2, 5)!.waited, 0));
  kernel({}, (files) => assert.equal(readCounters(files, null, 2, 5), null));
});

test("a group of version 2 against its limit, or all CPUs", () => {
  const group = {
    "cg/web/cpu.stat": "usage_usec 3000000\nuser_usec 1\n",
    "cg/web/cpu.pressure": PSI,
    "cg/web/cpu.max": "50000 100000\n",
  };
  kernel(group, (files) => {
    assert.deepEqual(readCounters(files, "web", 4, 10e6), { at: 10e6, used: 3e6, there: 5e6, waited: 6054668, thrashed: 0 });
    assert.equal(readCounters(files, "other", 4, 10e6), null);
  });
  kernel({ ...group, "cg/web/cpu.max": "max 100000\n" }, (files) =>
    assert.equal(readCounters(files, "web", 4, 10e6)!.there, 40e6),
  );
});

test("a group of version 1 against its quota; being throttled is waiting", () => {
  const group = {
    "cg/cpu/web/cpu.stat": "nr_periods 10\nnr_throttled 5\nthrottled_time 2000000000\n",
    "cg/cpu/web/cpu.cfs_quota_us": "20000\n",
    "cg/cpu/web/cpu.cfs_period_us": "100000\n",
    "cg/cpuacct/web/cpuacct.usage": "1500000000\n",
  };
  kernel(group, (files) => {
    assert.deepEqual(readCounters(files, "web", 4, 10e6), { at: 10e6, used: 1.5e6, there: 2e6, waited: 2e6, thrashed: 0 });
  });
  kernel({ ...group, "cg/cpu/web/cpu.cfs_quota_us": "-1\n" }, (files) =>
    assert.equal(readCounters(files, "web", 4, 10e6)!.there, 40e6),
  );
});

test("in a container with a limit that limit is the host; a machine has none at its root", () => {
  const machine = { "proc/stat": "cpu  10 0 20 1000 50 0 0 0 0 0\n" };
  kernel(machine, (files) => assert.ok(!isLimited(files)));
  kernel({ ...machine, "cg/cpu/cpu.cfs_quota_us": "-1\n" }, (files) => assert.ok(!isLimited(files)));
  kernel({ ...machine, "cg/cpu.max": "max 100000\n" }, (files) => assert.ok(!isLimited(files)));
  kernel({ ...machine, "cg/cpu.max": "150000 100000\n", "cg/cpu.stat": "usage_usec 7\n" }, (files) => {
    assert.ok(isLimited(files));
    assert.equal(readCounters(files, null, 8, 1e6)!.there, 1.5e6);
  });
});

test("load between two readings: shares, never outside 0 to 1; nothing when they do not go together", () => {
  const a: Counters = { at: 0, used: 100, there: 1000, waited: 0, thrashed: 0 };
  assert.deepEqual(loadBetween(a, { at: 1e6, used: 150, there: 1200, waited: 300_000, thrashed: 0 }), {
    cpu: 0.25,
    pressure: 0.3,
  });
  assert.deepEqual(loadBetween(a, { at: 1e6, used: 900, there: 1200, waited: 5e6, thrashed: 0 }), { cpu: 1, pressure: 1 });
  assert.equal(loadBetween(a, { ...a, at: 1e6, waited: 0, thrashed: 700_000, there: 2000 })!.pressure, 0.7);
  assert.equal(loadBetween(a, a), null);
  assert.equal(loadBetween(a, { ...a, at: 1e6, used: 50, there: 2000 }), null);
});

test("this machine can be read", () => {
  const reading = hostCounters({ proc: "/proc", cgroups: "/nowhere" }, 1)!;
  assert.ok(reading.there > 0 && reading.used > 0 && reading.used <= reading.there);
});
