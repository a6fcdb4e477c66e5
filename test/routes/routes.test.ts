/** Routes by a real BIRD, heard by another. */
import { test } from "node:test";
import { birdObstacle } from "../support/bird.ts";
import { namespaceObstacle, runInNamespace } from "../support/netns.ts";

test("routes follow the board, the config and BIRD, in a namespace", {
  skip: (namespaceObstacle() ?? false) || birdObstacle,
}, () => {
  runInNamespace(new URL("./routes.netns.js", import.meta.url));
});
