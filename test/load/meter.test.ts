import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { pino } from "pino";
import type { AgentView } from "../../src/control/attendant.ts";
import { type Config, parseConfig } from "../../src/control/config.ts";
import { FitnessBoard } from "../../src/control/fitness.ts";
import { pollFor } from "../../src/lab/poll.ts";
import { LoadMeter } from "../../src/load/meter.ts";

const ROOT = mkdtempSync(join(tmpdir(), "hafl-meter-"));
const FILES = { proc: join(ROOT, "proc"), cgroups: join(ROOT, "cg") };
after(() => rmSync(ROOT, { recursive: true }));

function config(more: string): Config {
  const result = parseConfig(
    `{ cluster: c, seed: 0123456789abcdef0123456789abcdef, hosts: [{ name: s1, dip: 10.0.1.11 }], ${more} }`,
    "f",
  );
  assert.ok("config" in result, JSON.stringify(result));
  return result.config;
}

/** Waits until it is so. */
const poll = async (isSo: () => boolean, ms: number): Promise<void> =>
  assert.ok(await pollFor(() => (isSo() ? true : null), ms), String(isSo));

interface World {
  readonly meter: LoadMeter;
  readonly board: FitnessBoard;
  readonly said: string[];
  /** Lets seconds pass in which a share of the CPUs is used. */
  pass(seconds: number, share: number): void;
}

function world(first: Config): World & { config: Config } {
  mkdirSync(FILES.proc, { recursive: true });
  let [now, used, idle] = [0, 1000, 1000];
  const said: string[] = [];
  const board = new FitnessBoard();
  const write = (): void => writeFileSync(join(FILES.proc, "stat"), `cpu  ${used} 0 0 ${idle} 0 0 0 0 0 0\n`);
  write();
  const log = pino({ level: "info" }, { write: (line: string) => void said.push((JSON.parse(line) as { msg: string }).msg) });
  const one = { config: first };
  const view = { log, board, config: () => one.config, place: { host: first.hosts[0]! } } as unknown as AgentView;
  const meter = new LoadMeter(view, FILES, () => now);
  const pass = (seconds: number, share: number): void => {
    for (let i = 0; i < seconds; i++) {
      now += 1000;
      used += Math.round(200 * share);
      idle += Math.round(200 * (1 - share));
      write();
      meter.read();
    }
  };
  return Object.assign(one, { meter, board, said, pass });
}

test("use is averaged over the time that the config says", () => {
  const { meter, pass } = world(config("load: { averageSeconds: 10 }"));
  assert.equal(meter.current(), null);
  meter.read();
  assert.equal(meter.current(), null, "one reading says nothing");
  pass(10, 0.2);
  assert.deepEqual(meter.current(), { cpu: 0.2, pressure: 0, services: {} });
  pass(5, 0.8);
  assert.equal(meter.current()!.cpu, 0.5);
  pass(20, 0.8);
  assert.equal(meter.current()!.cpu, 0.8);
});

test("a host says that it is overloaded after a whole averaging time, and until it has room again", () => {
  const { meter, board, pass } = world(config("load: { averageSeconds: 10, overload: 0.9 }"));
  meter.read();
  pass(5, 1);
  assert.equal(board.problems.size, 0, "too short to say");
  pass(5, 1);
  assert.equal(board.problems.get("overload"), "more than 90 % of the CPUs is used");
  pass(20, 0.85);
  assert.equal(board.problems.size, 1, "not yet much better");
  pass(20, 0.5);
  assert.equal(board.problems.size, 0);
});

test("a host whose load cannot be read any more does not stay overloaded", () => {
  const one = world(config("load: { averageSeconds: 10, overload: 0.9 }"));
  one.pass(12, 1);
  assert.equal(one.board.problems.has("overload"), true);
  one.config = config("load: { averageSeconds: 10, overload: 0.9, cgroup: gone.slice }");
  one.meter.read();
  assert.deepEqual([one.meter.current(), one.board.problems.has("overload")], [null, false]);
});

test("a group that is not there is said once, and then there is no load", () => {
  const one = world(config("load: { cgroup: 'none/{host}' }"));
  one.pass(3, 0.5);
  assert.equal(one.meter.current(), null);
  assert.deepEqual(one.said, ["load is not known: what the kernel counts cannot be read"]);
  one.config = config("load: { averageSeconds: 10 }");
  one.pass(3, 0.5);
  assert.equal(one.meter.current()!.cpu, 0.5, "another config measures the machine");
});

test("a service's own load is asked for, forgotten when it has not answered for long, and when it has none any more", async () => {
  const file = join(ROOT, "busy");
  writeFileSync(file, "0.4\n");
  const services = (load: string): string => `services: [{ name: web, vips: [192.0.2.1], ports: { tcp: 80 }${load} }]`;
  const one = world(config(services(`, load: { command: [cat, '${file}'], intervalSeconds: 1 }`)));
  one.meter.start();
  try {
    one.pass(1, 0.5);
    await poll(() => one.meter.current()?.services.web === 0.4, 20_000);
    rmSync(file);
    await poll(() => one.said.length > 0, 20_000);
    assert.match(one.said[0]!, /^load of web is not known: cat failed: 1: cat: .*No such file/);
    one.pass(10, 0.5);
    assert.deepEqual(one.meter.current()!.services, {});
    writeFileSync(file, "0.7\n");
    await poll(() => one.meter.current()?.services.web === 0.7, 20_000);
    one.config = config(services(""));
    one.meter.changed(one.config);
    assert.deepEqual(one.meter.current()!.services, {});
  } finally {
    one.meter.stop();
  }
});
