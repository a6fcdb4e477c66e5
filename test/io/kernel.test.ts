/** The addon against the kernel: each script runs in a network namespace of its own. */
import { test } from "node:test";
import { namespaceObstacle, runInNamespace } from "../support/netns.ts";

const obstacle = namespaceObstacle();

for (const script of [
  "packet-socket",
  "tun",
  "gue-socket",
  "raw-socket",
  "wild-records",
  "frame-counters",
  "socket-lookup",
  "reply-socket",
]) {
  test(`${script}, in a namespace`, { skip: obstacle ?? false }, () => {
    runInNamespace(new URL(`./${script}.netns.js`, import.meta.url));
  });
}
