import assert from "node:assert/strict";
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import pino from "pino";
import { PathWatch } from "../../src/control/path-watch.ts";
import { configOf } from "../support/fixture.ts";
import { until } from "../support/netns.ts";

const config = configOf(`
cluster: c
seed: 0123456789abcdef0123456789abcdef
hosts: [{ name: s1, dip: 10.0.1.11 }, { name: s2, dip: 10.0.1.12 }]
services: [{ name: web, vips: [192.0.2.10], ports: { tcp: [80] } }]
`);

/** Has `ip` say that there is a route to s2, over a device with this MTU, or hang; for the rest of the test. */
function fakeRoutes(t: TestContext): { setMtu(mtu: number): void; hang(): void } {
  const dir = mkdtempSync(join(tmpdir(), "hafl-paths-"));
  const path = process.env.PATH;
  t.after(() => {
    process.env.PATH = path;
    rmSync(dir, { recursive: true });
  });
  process.env.PATH = `${dir}:${path}`;
  const write = (script: string): void => {
    writeFileSync(join(dir, "new"), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    renameSync(join(dir, "new"), join(dir, "ip"));
  };
  const setMtu = (mtu: number): void =>
    write(`case "$*" in
  *batch*) cat >/dev/null; echo '[{"dst":"10.0.1.12","dev":"up0"}]' ;;
  *) echo '[{"ifname":"up0","mtu":${mtu}}]' ;;
esac`);
  setMtu(1400);
  return { setMtu, hang: () => write("exec sleep 60") };
}

const silent = pino({ enabled: false });

test("path MTUs that did not get into the tables are published at the next look", async (t) => {
  fakeRoutes(t);
  t.mock.timers.enable({ apis: ["setInterval"] });
  const watch = new PathWatch(config.hosts[0]!, silent, new Map());
  const published: (number | undefined)[] = [];
  watch.start(
    () => config,
    () => {
      published.push(watch.mtus.get("s2"));
      if (published.length === 1) throw new Error("a worker has not taken up generation 1");
    },
  );
  for (const looks of [1, 2]) {
    await until(`${looks} looks`, () => {
      // A look that is under way is not begun a second time.
      t.mock.timers.tick(5_000);
      return published.length >= looks;
    });
  }
  for (let i = 0; i < 5; i++) {
    t.mock.timers.tick(5_000);
    await sleep(20);
  }
  watch.stop();
  assert.deepEqual(published, [1400, 1400]);
});

test("an `ip` that hangs holds nothing up: it is given up, said, and asked again", async (t) => {
  const { hang, setMtu } = fakeRoutes(t);
  t.mock.timers.enable({ apis: ["setInterval"] });
  const said: string[] = [];
  const log = pino({ level: "warn" }, { write: (line: string) => said.push((JSON.parse(line) as { msg: string }).msg) });
  const watch = new PathWatch(config.hosts[0]!, log, new Map());
  hang();
  let published = 0;
  watch.start(
    () => config,
    () => published++,
  );
  const before = performance.now();
  t.mock.timers.tick(5_000);
  assert.ok(performance.now() - before < 1_000, "this thread waits");
  await until("the log", () => said.length > 0, 10_000);
  assert.match(said[0]!, /^path MTUs stay what they were: `ip` gave no answer within 2 s/);
  setMtu(1300);
  await until("the next look", () => {
    t.mock.timers.tick(5_000);
    return published > 0;
  });
  assert.equal(watch.mtus.get("s2"), 1300);
  watch.stop();
});

test("a look that began before the watch was stopped changes nothing", async (t) => {
  fakeRoutes(t);
  t.mock.timers.enable({ apis: ["setInterval"] });
  const watch = new PathWatch(config.hosts[0]!, silent, new Map());
  watch.start(
    () => config,
    () => assert.fail("published"),
  );
  t.mock.timers.tick(5_000);
  watch.stop();
  await sleep(300);
  assert.equal(watch.mtus.size, 0);
});

test("a config with the same hosts is no reason to look at routes, one with others is", (t) => {
  const { setMtu } = fakeRoutes(t);
  const watch = new PathWatch(config.hosts[0]!, silent, new Map());
  watch.read(config);
  assert.equal(watch.mtus.get("s2"), 1400);
  setMtu(1300);
  watch.read({ ...config, services: [] });
  assert.equal(watch.mtus.get("s2"), 1400);
  watch.read({ ...config, hosts: config.hosts.slice().reverse() });
  assert.equal(watch.mtus.get("s2"), 1300);
});
