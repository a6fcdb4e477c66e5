/** What an agent does when things go wrong, in a network namespace of its own. */
import { test } from "node:test";
import { namespaceObstacle, runInNamespace } from "../support/netns.ts";

test("an agent's ends and errors, in a namespace", { skip: namespaceObstacle() ?? false }, () => {
  runInNamespace(new URL("./agent-errors.netns.js", import.meta.url));
});
