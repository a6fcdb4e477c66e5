/** Fragments of one datagram that the kernel gives to two workers of a director. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { readStatus } from "../../src/control/status.ts";
import { routeVips } from "../../src/lab/lab.ts";
import { runtimeDir } from "../../src/lab/state.ts";
import { addressOf, ECHO_PORT, VIP } from "../../src/lab/topology.ts";
import { labObstacle, labSpec, runOn, withLab } from "../support/lab.ts";

test("later fragments wait at one worker for the first at another, and arrive", {
  skip: labObstacle,
  timeout: 60_000,
}, async (t) => {
  const spec = labSpec({ name: `split-${process.pid}`, hosts: 2, clients: 1, workers: 2 });
  await withLab(spec, async () => {
    // The router's hash over these would differ as well.
    await routeVips(spec.name, [1]);
    const program = fileURLToPath(new URL("../support/split-fragments.js", import.meta.url));
    const dir = runtimeDir(spec.name, "s1");
    const command = [process.execPath, program, addressOf("c1", 6), VIP[6], String(ECHO_PORT), dir];
    const result = JSON.parse(await runOn(spec.name, "c1", command)) as Record<"of" | "back" | "split" | "held", number>;
    const { forwarded, delivered, fragment_orphan } = readStatus(dir).verdicts;
    t.diagnostic(JSON.stringify({ ...result, forwarded, delivered, fragment_orphan }));
    assert.equal(result.back, result.of, "all are answered");
    assert.equal(result.held, result.of, "nothing left before the first fragment came");
    assert.ok(result.split > 0, "the fragments of some came to two workers");
    assert.ok(forwarded! > 0 && delivered! > 0, "to the other host and to this one");
  });
});
