/** Real BIRD on hosts and routers: routes follow the fitness of hosts, nobody notices a stop in order, a data centre may be lost. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { runAnycast } from "../../src/lab/anycast.ts";
import { anycastSpec } from "../../src/lab/anycast-topology.ts";
import { bgpSpec, runBgpScenario } from "../../src/lab/bgp-scenario.ts";
import { labDir, namespacesOf } from "../../src/lab/state.ts";
import type { LabSpec } from "../../src/lab/topology.ts";
import type { Verdict } from "../../src/lab/verdicts.ts";
import { birdObstacle } from "../support/bird.ts";
import { egressObstacle } from "../support/egress.ts";
import { labObstacle } from "../support/lab.ts";

type Run = (spec: LabSpec, progress: (line: string) => void) => Promise<readonly Verdict[]>;

async function runs(run: Run, spec: LabSpec, progress: (line: string) => void): Promise<void> {
  const verdicts = await run(spec, progress);
  assert.deepEqual(
    verdicts.filter(({ ok }) => !ok),
    [],
  );
  assert.ok(verdicts.length >= 6);
  assert.deepEqual(namespacesOf(spec.name), [], labDir(spec.name));
}

test(
  "one data centre: routes of fit hosts only, and a stop that loses nothing",
  {
    skip: labObstacle || birdObstacle,
    timeout: 180_000,
  },
  async (t) => await runs(runBgpScenario, bgpSpec(`e2e-bgp-${process.pid}`), (line) => t.diagnostic(line)),
);

test(
  "two data centres: clients move when one is lost, egress IPs work from both",
  {
    skip: egressObstacle || birdObstacle,
    timeout: 180_000,
  },
  async (t) => await runs(runAnycast, anycastSpec(`e2e-any-${process.pid}`), (line) => t.diagnostic(line)),
);
