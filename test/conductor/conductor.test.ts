import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { pino } from "pino";
import { Conductor, type ConductorOptions } from "../../src/conductor/conductor.ts";
import { parseConfig } from "../../src/control/config.ts";
import { pollFor } from "../../src/lab/poll.ts";
import { clusterKeys } from "../../src/store/keys.ts";
import {
  type DecisionsRecord,
  type GenerationsRecord,
  type HostReport,
  readRecord,
  writeRecord,
} from "../../src/store/records.ts";
import { MemoryStore } from "../support/memory-store.ts";

const KEYS = clusterKeys("lab");
const NAMES = ["a", "b", "c", "d"];
const wanted = (change: number, more = "", state = "active"): string =>
  writeRecord("wanted", {
    change,
    who: "root",
    when: 0,
    why: "",
    config: `cluster: lab
seed: 000102030405060708090a0b0c0d0e0f
hosts: [${NAMES.map((name, i) => `{ name: ${name}, dip: 10.0.0.${i + 1}, state: ${name === "d" ? state : "active"} }`)}]
services: [{ name: web, vips: [192.0.2.1], ports: { tcp: any } }]
table: { size: 101 }
conductor: { holdMs: 0, riseSeconds: 0 }
${more}`,
  });

const report = (host: string, more: Partial<HostReport> = {}): string =>
  writeRecord("hostReport", {
    host,
    when: 0,
    version: "0.1.0",
    change: 1,
    generation: 1,
    ageSeconds: 0,
    serials: {},
    refused: null,
    problems: {},
    services: { web: { healthy: true, reason: "" } },
    load: { cpu: 0, pressure: 0, services: {} },
    flows: 0,
    announced: [],
    ...more,
  });
const SICK = { services: { web: { healthy: false, reason: "refused" } } };

async function poll(what: string, isSo: () => boolean): Promise<void> {
  assert.ok((await pollFor(() => isSo() || null, 20_000)) !== null, `waited in vain for ${what}`);
}

const running: Conductor[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map((one) => one.stop()));
});

function conductor(
  store: MemoryStore,
  host: string,
  readWanted: ConductorOptions["readWanted"] = ({ config, change }) => parseConfig(config, `change ${change}`),
): Conductor {
  const one = new Conductor({
    store,
    keys: KEYS,
    host,
    log: pino({ level: "silent" }),
    readWanted,
    settleMs: 0,
  });
  running.push(one);
  one.start();
  return one;
}

function cluster(): MemoryStore {
  const store = new MemoryStore();
  store.put(KEYS.wanted, wanted(1));
  for (const name of NAMES) store.put(KEYS.host(name), report(name));
  return store;
}

function generations(store: MemoryStore): GenerationsRecord {
  const read = readRecord("generations", "g", store.value(KEYS.generations("web")) ?? "null");
  assert.ok("record" in read, JSON.stringify(read));
  return read.record;
}
function decisions(store: MemoryStore): DecisionsRecord {
  const read = readRecord("decisions", "d", store.value(KEYS.decisions) ?? "null");
  assert.ok("record" in read, JSON.stringify(read));
  return read.record;
}
const taking = (store: MemoryStore): string =>
  generations(store)
    .generations[0]!.hosts.map(({ name }) => name)
    .join("");
const isThere = (store: MemoryStore, pool = "web"): boolean => store.value(KEYS.generations(pool)) !== undefined;

/** Until a conductor has looked again, twice. */
async function looked(store: MemoryStore): Promise<void> {
  // What is told in order is seen in order: when this has become an alarm all before was seen.
  store.put(KEYS.host("watched"), "not JSON");
  await poll("the conductor to look", () => decisions(store).alarms.some((alarm) => alarm.includes("watched")));
  store.put(KEYS.host("watched"), null);
  await poll("the conductor to look", () => !decisions(store).alarms.some((alarm) => alarm.includes("watched")));
}

test("the first conductor writes decisions and generations at once, and nothing while nothing happens", async () => {
  const store = cluster();
  const one = conductor(store, "a");
  await poll("generations", () => isThere(store));
  assert.deepEqual(store.commits.at(-1), [KEYS.decisions, KEYS.generations("web")]);
  assert.deepEqual([taking(store), generations(store).serial, generations(store).change], ["abcd", 1, 1]);
  assert.equal(one.state.role, "conductor");
  const { written } = one.state;
  for (const name of NAMES) store.put(KEYS.host(name), report(name, { when: 99 }));
  await looked(store);
  assert.equal(one.state.written, written);
});

test("a sick host leaves the pool, and comes back", async () => {
  const store = cluster();
  conductor(store, "a");
  await poll("generations", () => isThere(store));
  store.put(KEYS.host("b"), report("b", SICK));
  await poll("b to be taken out", () => taking(store) === "acd");
  assert.match(generations(store).why, /^b down: refused$/);
  store.put(KEYS.host("b"), report("b"));
  await poll("b to come back", () => taking(store) === "abcd");
  assert.equal(generations(store).serial, 3);
});

test("what the operator wants is followed", async () => {
  const store = cluster();
  conductor(store, "a");
  await poll("generations", () => isThere(store));
  store.put(KEYS.wanted, wanted(2, "", "draining"));
  await poll("d to be drained", () => taking(store) === "abc");
  assert.equal(generations(store).change, 2);
});

test("the next conductor goes on from there, and moves nothing by becoming it", async () => {
  const store = cluster();
  const first = conductor(store, "a");
  await poll("generations", () => isThere(store));
  store.put(KEYS.host("b"), report("b", SICK));
  await poll("b to be taken out", () => taking(store) === "acd");
  const before = store.value(KEYS.generations("web"));
  const second = conductor(store, "b");
  await first.stop();
  await poll("the second to conduct", () => second.state.role === "conductor");
  await looked(store);
  assert.equal(store.value(KEYS.generations("web")), before);
  assert.equal(second.state.written, 0);
  assert.ok(decisions(store).time >= generations(store).generations[0]!.time);
});

test("a conductor that was stopped while another was elected has its write rejected", async () => {
  const store = cluster();
  const first = conductor(store, "a");
  await poll("generations", () => isThere(store));
  // The first does not hear that its lease is over, nor that its key is gone.
  store.stopWatches(KEYS.conductor);
  store.leases[0]!.expire(false);
  const second = conductor(store, "b");
  await poll("the second to conduct", () => second.state.role === "conductor");
  assert.equal(first.state.role, "conductor");
  store.put(KEYS.host("b"), report("b", SICK));
  await poll("the first to be rejected", () => first.state.rejected === 1);
  await poll("b to be taken out", () => taking(store) === "acd");
  assert.deepEqual([generations(store).by, generations(store).serial], ["b", 2]);
});

test("when the answer to a write is lost the conductor looks what became of it", async () => {
  const store = cluster();
  const one = conductor(store, "a");
  await poll("generations", () => isThere(store));
  store.losesNextAnswer = true;
  store.put(KEYS.host("b"), report("b", SICK));
  await poll("b to be taken out", () => taking(store) === "acd");
  await poll("the conductor to go on", () => one.state.storeAnswers && !store.losesNextAnswer);
  await looked(store);
  assert.equal(generations(store).serial, 2);
});

test("while the store is away nothing happens, then it goes on", async () => {
  const store = cluster();
  const one = conductor(store, "a");
  await poll("generations", () => isThere(store));
  store.away = true;
  store.loseWatches();
  store.put(KEYS.host("b"), report("b", SICK));
  await poll("the conductor to ask in vain", () => store.refusals > 2);
  store.away = false;
  await poll("b to be taken out", () => taking(store) === "acd");
  assert.equal(one.state.role, "conductor");
});

test("what cannot be right is refused and named, and the last good state holds", async () => {
  const store = cluster();
  const one = conductor(store, "a");
  await poll("generations", () => isThere(store));
  store.put(KEYS.wanted, wanted(2, "no: such part"));
  store.put(KEYS.host("c"), report("b", SICK));
  store.put(KEYS.probes("a"), "{");
  await poll("three alarms", () => one.state.alarms.length === 3);
  assert.match(one.state.alarms.join("\n"), /hosts\/c: says that it is of host "b"/);
  assert.match(one.state.alarms.join("\n"), /probes\/a: not JSON/);
  assert.match(one.state.alarms.join("\n"), /change 2 of what is wanted is refused: change 2: no: unknown key/);
  assert.equal(taking(store), "abcd");
  store.put(KEYS.wanted, wanted(3));
  store.put(KEYS.host("c"), report("c"));
  store.put(KEYS.probes("a"), null);
  await poll("no alarms", () => one.state.alarms.length === 0);
});

test("what was refused because of this host's own file is taken up when that has been put right", async () => {
  const store = cluster();
  let isBroken = true;
  conductor(store, "a", ({ config, change }) =>
    isBroken ? { errors: ["own.yaml: not YAML"] } : parseConfig(config, `change ${change}`),
  );
  await poll("the alarm", () => running[0]!.state.alarms.some((alarm) => alarm.includes("own.yaml")));
  isBroken = false;
  await poll("generations", () => isThere(store));
  await poll("the end of the alarm", () => running[0]!.state.alarms.length === 0);
});

test("decisions and generations that cannot be read are written anew", async () => {
  const store = cluster();
  store.put(KEYS.decisions, "{");
  store.put(KEYS.generations("web"), "{}");
  store.put(KEYS.generations("old"), "{}");
  conductor(store, "a");
  await poll("generations", () => (store.value(KEYS.generations("web")) ?? "").includes("serial"));
  assert.equal(taking(store), "abcd");
});

test("what somebody else writes in place of the conductor is written over, above its number, and is an alarm", async () => {
  const store = cluster();
  const one = conductor(store, "a");
  await poll("generations", () => isThere(store));
  const forged = (serial: number): string =>
    writeRecord("generations", {
      service: "web",
      serial,
      change: 1,
      by: "x",
      why: "",
      generations: [{ id: 99, time: 5, hosts: [] }],
    });
  store.put(KEYS.generations("web"), forged(7));
  await poll("generations above the forged ones", () => generations(store).serial === 8);
  assert.equal(taking(store), "abcd");
  assert.match(one.state.alarms.join("\n"), /generations\/web: was written by somebody else/);
  store.put(KEYS.generations("web"), forged(3_000_000));
  await poll("generations that go on from their own serial", () => generations(store).serial === 9);
  store.put(KEYS.generations("web"), null);
  await poll("generations that were deleted", () => isThere(store));
  store.put(KEYS.generations("constructor"), "x");
  await poll("a key that is no pool to go", () => !isThere(store, "constructor"));
  const own = store.value(KEYS.decisions);
  store.put(KEYS.decisions, "{");
  await poll("decisions", () => store.value(KEYS.decisions) !== "{");
  assert.equal(decisions(store).by, JSON.parse(own!).by);
  await looked(store);
  assert.equal(taking(store), "abcd");
});

test("a change that is made up is not followed by the conductor", async () => {
  const store = cluster();
  const one = conductor(store, "a");
  await poll("generations", () => isThere(store));
  store.put(KEYS.wanted, wanted(5_000_000, "", "draining"));
  await poll("an alarm", () => one.state.alarms.some((alarm) => /change 5000000 is far above change 1/.test(alarm)));
  assert.equal(taking(store), "abcd");
  store.put(KEYS.wanted, wanted(2, "", "draining"));
  await poll("d to be drained", () => taking(store) === "abc");
});

test("a store that was turned back moves nothing, until somebody puts a change above all that was applied", async () => {
  const store = cluster();
  const applied = { change: 7, serials: { web: 40 } };
  for (const name of NAMES) store.put(KEYS.host(name), report(name, applied));
  store.put(KEYS.generations("web"), FIRST);
  const one = conductor(store, "a");
  await poll("an alarm", () => one.state.alarms.length > 0);
  assert.match(one.state.alarms[0]!, /^4 hosts have applied .* Nothing moves until a change above 7 is applied$/);
  store.put(KEYS.host("b"), report("b", { ...applied, ...SICK }));
  store.put(KEYS.wanted, wanted(7, "", "draining"));
  await looked(store);
  assert.equal(store.value(KEYS.generations("web")), FIRST);
  store.put(KEYS.wanted, wanted(8, "", "draining"));
  await poll("generations above", () => generations(store).serial > 40);
  await poll("b to be taken out", () => taking(store) === "ac");
  await poll("no alarms", () => one.state.alarms.length === 0);
});

test("a conductor does not follow a store that is turned back under it, whatever the hosts have reported by then", async () => {
  const store = cluster();
  store.put(KEYS.wanted, wanted(4));
  const one = conductor(store, "a");
  await poll("generations", () => store.value(KEYS.generations("web")) !== undefined);
  store.put(KEYS.wanted, wanted(5, "", "draining"));
  await poll("d to be taken out", () => taking(store) === "abc");
  const before = store.value(KEYS.generations("web"));
  store.put(KEYS.wanted, wanted(4));
  await poll("an alarm", () => one.state.alarms.length > 0);
  await looked(store);
  assert.equal(store.value(KEYS.generations("web")), before);
  store.put(KEYS.wanted, wanted(6));
  await poll("d to be back", () => taking(store) === "abcd");
});

const FIRST = writeRecord("generations", {
  service: "web",
  serial: 3,
  change: 1,
  by: "x",
  why: "",
  generations: [{ id: 1, time: 5, hosts: NAMES.map((name) => ({ name, weight: 1 })) }],
});
