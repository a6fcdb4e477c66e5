/** Health: what is wrong with a host is found by those who probe it through the tunnel and by itself, and named. */
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { unprivilegedObstacle } from "../../src/lab/unprivileged.ts";
import { namespaceObstacle, runInNamespace } from "../support/netns.ts";

const nft = spawnSync("nft", ["--version"]).status === 0 ? null : "no nft";
const skip = namespaceObstacle() ?? nft ?? false;
const script = new URL("./health.netns.js", import.meta.url);

test("af-packet: faults of a host and of its services, in namespaces", { skip }, () => {
  runInNamespace(script, { HEALTH_MODE: "af-packet" });
});

test("tun, by agents that are an ordinary user's: the same", { skip: skip || (unprivilegedObstacle() ?? false) }, () => {
  runInNamespace(script, { HEALTH_MODE: "tun", HAFL_UNPRIVILEGED: "1" });
});
