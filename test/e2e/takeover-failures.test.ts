/** Takeovers that fail, at every step and in every way, and what goes on across those that do not. */
import { test } from "node:test";
import { namespaceObstacle, runInNamespace } from "../support/netns.ts";

for (const script of ["takeover-failures", "takeover-late", "takeover-refused"]) {
  test(`${script}, in a namespace`, { skip: namespaceObstacle() ?? false }, () => {
    runInNamespace(new URL(`./${script}.netns.js`, import.meta.url));
  });
}
