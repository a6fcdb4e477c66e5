/** Probes that get no answer. */
import { test } from "node:test";
import { namespaceObstacle, runInNamespace } from "../support/netns.ts";

test("probes of a host that is silent, in a namespace", { skip: namespaceObstacle() ?? false }, () => {
  runInNamespace(new URL("./tunnel.netns.js", import.meta.url));
});
