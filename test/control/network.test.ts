/** Plans carried out on a real network stack. */
import { test } from "node:test";
import { namespaceObstacle, runInNamespace } from "../support/netns.ts";

test("the host's network is set up, shared and put back, in a namespace", { skip: namespaceObstacle() ?? false }, () => {
  runInNamespace(new URL("./network.netns.js", import.meta.url));
});
