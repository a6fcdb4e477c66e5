import assert from "node:assert/strict";
import { test } from "node:test";
import { effectiveConfig, parseConfig } from "../../src/control/config.ts";

const BASE = `cluster: c
seed: 0123456789abcdef0123456789abcdef
hosts: [{ name: s1, dip: 10.0.1.11 }]
`;

function metricsOf(line: string): unknown {
  const result = parseConfig(`${BASE}${line}\n`, "f");
  if ("errors" in result) return result.errors;
  const again = parseConfig(effectiveConfig(result.config), "again");
  assert.ok("config" in again);
  assert.deepEqual(again.config.metrics, result.config.metrics);
  return result.config.metrics;
}

test("metrics: on loopback unless said otherwise, or off", () => {
  const loopback = { listen: { address: "127.0.0.1", port: 9608 } };
  assert.deepEqual(metricsOf(""), loopback);
  assert.deepEqual(metricsOf("metrics: {}"), loopback);
  assert.deepEqual(metricsOf("metrics: { listen: 9100 }"), { listen: { address: "127.0.0.1", port: 9100 } });
  assert.deepEqual(metricsOf("metrics: { listen: 0.0.0.0:9100 }"), { listen: { address: "0.0.0.0", port: 9100 } });
  assert.deepEqual(metricsOf('metrics: { listen: "[::1]:0" }'), { listen: { address: "::1", port: 0 } });
  assert.equal(metricsOf("metrics: off"), null);
});

test("metrics: what is wrong is named", () => {
  for (const wrong of ["localhost:1", "127.0.0.1", "127.0.0.1:65536", "::1:9608", "[127.0.0.1]:1", "a"]) {
    const [line] = metricsOf(`metrics: { listen: "${wrong}" }`) as string[];
    assert.match(line!, /^f: metrics\.listen: "?\S+"? is not an address and a port \(write 127\.0\.0\.1:9608, /, wrong);
  }
  assert.deepEqual(metricsOf("metrics: { lisen: 1 }"), ['f: metrics.lisen: unknown key (did you mean "listen"?)']);
});
