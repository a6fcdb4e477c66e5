import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import pino from "pino";
import type { AgentView } from "../../src/control/attendant.ts";
import { FitnessBoard } from "../../src/control/fitness.ts";
import { clusterKeys } from "../../src/store/keys.ts";
import { type HostReport, readRecord } from "../../src/store/records.ts";
import { Reporter, type ReportSources, reportOf, reportText } from "../../src/store/reporter.ts";
import { StoreRefused } from "../../src/store/store.ts";
import { MemoryStore } from "../support/memory-store.ts";
import { until } from "../support/store-contract.ts";

const KEYS = clusterKeys("lab");
const KEY = KEYS.host("s1");

interface Stand {
  readonly store: MemoryStore;
  readonly board: FitnessBoard;
  readonly reporter: Reporter;
  readonly log: string[];
  readonly applied: { change: number; refused: string | null };
  report(): HostReport | null;
}

function stand(t: TestContext): Stand {
  const store = new MemoryStore();
  const board = new FitnessBoard();
  const log: string[] = [];
  const applied = { change: 4, refused: null as string | null };
  const view = {
    log: pino({ base: undefined }, { write: (line: string) => void log.push(JSON.parse(line).msg) }),
    place: { host: { name: "s1" } },
    runtimeDir: "/nowhere",
    board,
    generation: () => 9,
  } as unknown as AgentView;
  const sources: ReportSources = {
    version: "1.2.3",
    // With more than a report has room for, as who follows the store knows more.
    applied: () => ({ ...applied, ageSeconds: 0.5, serials: { web: 7 }, revision: 12 }),
    load: () => ({ cpu: 0.25, pressure: 0, services: {} }),
    flows: () => 11,
  };
  const reporter = new Reporter(view, store, KEYS, sources);
  let stopped = false;
  t.after(() => (stopped ? undefined : reporter.stop(false)));
  const stop = reporter.stop.bind(reporter);
  reporter.stop = (handedOver) => {
    stopped = true;
    return stop(handedOver);
  };
  const report = (): HostReport | null => {
    const value = store.value(KEY);
    if (value === undefined) return null;
    const read = readRecord("hostReport", KEY, value);
    assert.ok("record" in read, JSON.stringify(read));
    return read.record;
  };
  return { store, board, reporter, log, applied, report };
}

test("a host reports what it is and what it goes by, and at once when something of that changes", async (t) => {
  const { board, reporter, applied, report } = stand(t);
  board.announce({ announced: ["192.0.2.10/32"], problem: null });
  reporter.start();
  await until("a report", () => report() !== null);
  const { when, ...rest } = report()!;
  assert.ok(Math.abs(Date.now() - when) < 60_000);
  assert.deepEqual(rest, {
    format: 1,
    host: "s1",
    version: "1.2.3",
    change: 4,
    generation: 9,
    ageSeconds: 0.5,
    serials: { web: 7 },
    refused: null,
    problems: {},
    services: {},
    load: { cpu: 0.25, pressure: 0, services: {} },
    flows: 11,
    announced: ["192.0.2.10/32"],
  });
  // Far sooner than it is renewed; `until` is for loaded machines.
  const before = performance.now();
  board.service("web", { healthy: false, reason: "connection refused" });
  board.problem("tun", "gone");
  await until("the change", () => report()!.services.web?.healthy === false && report()!.problems.tun === "gone");
  applied.refused = "broken";
  reporter.now();
  await until("the refusal", () => report()!.refused === "broken");
  assert.ok(performance.now() - before < 4_000, "not with the next renewal");
});

test("while the store is away the agent is left alone; one line says so, and one when it is back", async (t) => {
  const { store, board, reporter, log, report } = stand(t);
  store.away = true;
  reporter.start();
  await until("a line", () => log.length > 0);
  assert.match(log[0]!, /^the store does not get the report of this host: /);
  board.problem("tun", "gone");
  store.away = false;
  await until("a report", () => report()?.problems.tun === "gone");
  await until("a line", () => log.length > 1);
  assert.deepEqual(log.slice(1), ["the store has the report of this host again"]);
});

test("the report goes away with its host; when its lease is lost it takes another", async (t) => {
  const { store, reporter, report } = stand(t);
  reporter.start();
  await until("a report", () => report() !== null);
  store.leases[0]!.expire(true);
  await until("another lease", () => store.leases.length === 2 && report() !== null);
  await reporter.stop(false);
  assert.equal(report(), null);
  assert.equal(store.leases[1]!.held, false);
});

test("while the store refuses the report no leases pile up", async (t) => {
  const { store, reporter } = stand(t);
  let refused = 0;
  store.commit = async () => {
    refused++;
    throw new StoreRefused("too large");
  };
  reporter.start();
  await until("a third attempt", () => refused > 2);
  assert.ok(store.leases.filter(({ held }) => held).length <= 1, `${store.leases.length} leases`);
});

test("who hands over leaves the report to the next one", async (t) => {
  const { reporter, report } = stand(t);
  reporter.start();
  await until("a report", () => report() !== null);
  await reporter.stop(true);
  assert.notEqual(report(), null);
});

test("long reasons are cut, and a report is never too large to be read", async (t) => {
  const { board, reporter, report } = stand(t);
  board.service("web", { healthy: false, reason: "x".repeat(100_000) });
  reporter.start();
  await until("a report", () => report() !== null);
  assert.equal(report()!.services.web!.reason.length, 200);
  const services = Object.fromEntries(
    Array.from({ length: 1024 }, (_, i) => [`service-${i}-${"x".repeat(40)}`, { healthy: i !== 5, reason: "" }]),
  );
  const read = readRecord("hostReport", KEY, reportText({ ...report()!, services }));
  assert.ok("record" in read);
  assert.deepEqual(Object.keys(read.record.services), [`service-5-${"x".repeat(40)}`]);
});

test("a change that is applied while flows are counted is none that the count is of", async (t) => {
  const { board, applied } = stand(t);
  const view = { board, place: { host: { name: "s1" } }, generation: () => 9 } as unknown as AgentView;
  const sources: ReportSources = {
    version: "1",
    applied: () => ({ ...applied, ageSeconds: 0, serials: {} }),
    load: () => null,
    flows: async () => {
      applied.change++;
      return 0;
    },
  };
  assert.equal((await reportOf(view, sources, 0)).change, 4);
});
