/** One who probes, 10.9.9.1 on up0; there is nobody at the other end. */
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { setTimeout as sleep, setImmediate as turn } from "node:timers/promises";
import { GIVEN_UP } from "../../src/health/finding.ts";
import { ProbeTunnel } from "../../src/health/tunnel.ts";
import { parseAddress } from "../../src/wire/address.ts";
import { configOf } from "../support/fixture.ts";
import { ip, until } from "../support/netns.ts";

const [SELF, OTHER, VIP] = [parseAddress("10.9.9.1")!, parseAddress("10.9.9.2")!, parseAddress("192.0.2.10")!];
const PORTS = { from: 62_000, to: 62_009 };
const config = configOf(`
cluster: c
seed: 0123456789abcdef0123456789abcdef
hosts: [{ name: s1, dip: 10.9.9.1 }]
services: [{ name: web, vips: [192.0.2.10], ports: { tcp: 80 } }]
`);
const target = (timeout: number) => ({ dips: [OTHER], vip: VIP, health: { ...config.services[0]!.health, timeout } });
const connecting = (): boolean => process.getActiveResourcesInfo().includes("ConnectWrap");

before(() => {
  for (const line of [
    "link set lo up",
    "link add up0 type veth peer name far0",
    "addr add 10.9.9.1/24 dev up0",
    "link set up0 up",
    "link set far0 up",
  ])
    ip(line);
});

test("a tunnel that is closed gives up the probes under way", async () => {
  const tunnel = new ProbeTunnel([SELF], 6080, PORTS);
  const probe = tunnel.probe(target(600));
  // Its socket is there after a turn or two; before and after that the probe is given up alike.
  await turn();
  tunnel.close();
  assert.deepEqual(await probe, GIVEN_UP);
});

test("a tunnel that is closed asks nobody any more whether a silent host is there", async () => {
  const tunnel = new ProbeTunnel([SELF], 6080, PORTS);
  const probe = tunnel.probe(target(0.01));
  await until("it is asked", connecting);
  tunnel.close();
  await sleep(0);
  assert.equal(connecting(), false);
  assert.equal((await probe).outcome, "unreachable");
});
