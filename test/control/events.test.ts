import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { EVENTS } from "../../src/control/events.ts";

const SRC = fileURLToPath(new URL("../../../src", import.meta.url));

test("every event that is logged is documented", () => {
  const files = readdirSync(SRC, { recursive: true, encoding: "utf8" }).filter((name) =>
    /^(control|store|health|conductor|routes|metrics|cli)\/.*\.ts$/.test(name),
  );
  const used = files.flatMap((name) =>
    [...readFileSync(join(SRC, name), "utf8").matchAll(/\bevent: "([^"]+)"/g)].map((match) => match[1]!),
  );
  assert.ok(used.length >= 10);
  assert.deepEqual(
    [...new Set(used)].filter((name) => !(name in EVENTS)),
    [],
  );
});
