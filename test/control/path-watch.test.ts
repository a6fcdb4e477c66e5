import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import pino from "pino";
import { PathWatch } from "../../src/control/path-watch.ts";
import { configOf } from "../support/fixture.ts";

const config = configOf(`
cluster: c
seed: 0123456789abcdef0123456789abcdef
hosts: [{ name: s1, dip: 10.0.1.11 }, { name: s2, dip: 10.0.1.12 }]
services: [{ name: web, vips: [192.0.2.10], ports: { tcp: [80] } }]
`);

test("path MTUs that did not get into the tables are published at the next look", (t) => {
  const dir = mkdtempSync(join(tmpdir(), "hafl-paths-"));
  const path = process.env.PATH;
  t.after(() => {
    process.env.PATH = path;
    rmSync(dir, { recursive: true });
  });
  const script = `#!/bin/sh
case "$*" in
  *batch*) cat >/dev/null; echo '[{"dst":"10.0.1.12","dev":"up0"}]' ;;
  *) echo '[{"ifname":"up0","mtu":1400}]' ;;
esac
`;
  writeFileSync(join(dir, "ip"), script, { mode: 0o755 });
  process.env.PATH = `${dir}:${path}`;
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
