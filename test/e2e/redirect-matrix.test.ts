/** The matrix of the kernel's self-test for Cloudflare's redirector, with real sockets, in a network namespace of its own. */
import { test } from "node:test";
import { namespaceObstacle, runInNamespace } from "../support/netns.ts";

test("accept or forward, by the sockets that there are", { skip: namespaceObstacle() ?? false }, () => {
  runInNamespace(new URL("./redirect-matrix.netns.js", import.meta.url));
});
