import { test } from "node:test";
import { namespaceObstacle, runInNamespace } from "../support/netns.ts";

const skip = namespaceObstacle() ?? false;

test("an agent that follows etcd, and bad content there, in a namespace", { skip }, () => {
  runInNamespace(new URL("./store-content.netns.js", import.meta.url));
});
