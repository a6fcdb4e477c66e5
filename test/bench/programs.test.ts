/** The benchmark's C programs, in a network namespace of their own. */
import { test } from "node:test";
import { namespaceObstacle, runInNamespace } from "../support/netns.ts";

test("they count and order what they are sent, in a namespace", { skip: namespaceObstacle() ?? false }, () => {
  runInNamespace(new URL("./programs.netns.js", import.meta.url));
});
