import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import pino from "pino";
import { PathWatch } from "../../src/control/path-watch.ts";
import { configOf } from "../support/fixture.ts";

const config = configOf(`
cluster: c
seed: 0123456789abcdef0123456789abcdef
hosts: [{ name: s1, dip: 10.0.1.11 }, { name: s2, dip: 10.0.1.12 }]
services: [{ name: web, vips: [192.0.2.10], ports: { tcp: [80] } }]
`);

/** Has `ip` say that there is a route to s2, over a device with this MTU; for the rest of the test. */
function fakeRoutes(t: TestContext): { setMtu(mtu: number): void } {
  const dir = mkdtempSync(join(tmpdir(), "hafl-paths-"));
  const path = process.env.PATH;
  t.after(() => {
    process.env.PATH = path;
    rmSync(dir, { recursive: true });
  });
  process.env.PATH = `${dir}:${path}`;
  const setMtu = (mtu: number): void => {
    const script = `#!/bin/sh
case "$*" in
  *batch*) cat >/dev/null; echo '[{"dst":"10.0.1.12","dev":"up0"}]' ;;
  *) echo '[{"ifname":"up0","mtu":${mtu}}]' ;;
esac
`;
    writeFileSync(join(dir, "ip"), script, { mode: 0o755 });
  };
  setMtu(1400);
  return { setMtu };
}

test("path MTUs that did not get into the tables are published at the next look", (t) => {
  fakeRoutes(t);
  t.mock.timers.enable({ apis: ["setInterval"] });
  const watch = new PathWatch(config.hosts[0]!, pino({ enabled: false }), new Map());
  const published: (number | undefined)[] = [];
  watch.start(
    () => config,
    () => {
      published.push(watch.mtus.get("s2"));
      if (published.length === 1) throw new Error("a worker has not taken up generation 1");
    },
  );
  for (let i = 0; i < 3; i++) t.mock.timers.tick(5_000);
  watch.stop();
  assert.deepEqual(published, [1400, 1400]);
});

test("a config with the same hosts is no reason to look at routes, one with others is", (t) => {
  const { setMtu } = fakeRoutes(t);
  const watch = new PathWatch(config.hosts[0]!, pino({ enabled: false }), new Map());
  watch.read(config);
  assert.equal(watch.mtus.get("s2"), 1400);
  setMtu(1300);
  watch.read({ ...config, services: [] });
  assert.equal(watch.mtus.get("s2"), 1400);
  watch.read({ ...config, hosts: config.hosts.slice().reverse() });
  assert.equal(watch.mtus.get("s2"), 1300);
});
