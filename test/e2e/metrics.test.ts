/** Metrics of a running agent, in a network namespace of its own. */
import { test } from "node:test";
import { namespaceObstacle, runInNamespace } from "../support/netns.ts";

test("metrics of an agent, in a namespace", { skip: namespaceObstacle() ?? false }, () => {
  runInNamespace(new URL("./metrics.netns.js", import.meta.url));
});
