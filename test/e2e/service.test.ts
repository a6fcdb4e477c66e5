/** The agent as a service, in a network namespace of its own; with the rights that its unit gives it. */
import { test } from "node:test";
import { unprivilegedObstacle } from "../../src/lab/unprivileged.ts";
import { namespaceObstacle, runInNamespace } from "../support/netns.ts";

test("the agent as a service, in a namespace", { skip: namespaceObstacle() ?? unprivilegedObstacle() ?? false }, () => {
  runInNamespace(new URL("./service.netns.js", import.meta.url), { HAFL_UNPRIVILEGED: "1" });
});
