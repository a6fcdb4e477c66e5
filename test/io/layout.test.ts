import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import * as packetIo from "../../src/io/packet-io.ts";

test("layout.h and packet-io.ts agree on every word of the records", () => {
  const header = readFileSync(new URL("../../../native/include/layout.h", import.meta.url), "utf8");
  const inC = new Map([...header.matchAll(/^#define ([A-Z0-9_]+) (\d+)$/gm)].map(([, name, value]) => [name, Number(value)]));
  const inTypeScript = Object.entries(packetIo).filter(([name]) =>
    /^(RX|TX|UP|SUM|CHECK)_|^HEADROOM$|^GUE_SOURCE_PORTS$/.test(name),
  );
  assert.ok(inTypeScript.length > 30);
  for (const [name, value] of inTypeScript) assert.equal(inC.get(name), value, name);
  assert.equal(inC.size, inTypeScript.length);
});
