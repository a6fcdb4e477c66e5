import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { replayRules } from "../../src/control/drop-rules.ts";
import { configTables } from "../../src/control/offline.ts";
import { readCapture } from "../../src/io/pcap.ts";
import { OfflineHost, type Role } from "../../src/replay/offline-host.ts";
import { replay } from "../../src/replay/replay.ts";
import { configOf } from "../support/fixture.ts";
import { libpcapObstacle } from "../support/libpcap.ts";
import { CASES, FIXTURES_DIR, filesOf } from "../support/make-fixtures.ts";

const hex = (packets: readonly { readonly bytes: Uint8Array }[]): string[] =>
  packets.map((p) => Buffer.from(p.bytes).toString("hex"));

test("the folders are the cases", () => {
  assert.deepEqual(readdirSync(FIXTURES_DIR).sort(), CASES.map((c) => c.name).sort());
});

for (const fixture of CASES) {
  // Without libpcap there are no drop rules.
  const skip = (fixture.config ?? "").includes("\ndrop:") && libpcapObstacle;
  test(`fixture ${fixture.name}`, { skip }, () => {
    const dir = join(FIXTURES_DIR, fixture.name);
    for (const [name, content] of Object.entries(filesOf(fixture))) {
      const stored = readFileSync(join(dir, name));
      assert.ok(
        stored.equals(Buffer.from(content)),
        `${name} is not what make-fixtures writes: run it and look at the difference`,
      );
    }
    const { role, host, mtu, verdicts, offloads } = JSON.parse(readFileSync(join(dir, "expected.json"), "utf8")) as {
      role: Role;
      host: string;
      mtu?: number;
      verdicts: (string | string[])[];
      offloads?: Record<number, number>[];
    };
    const config = configOf(readFileSync(join(dir, "config.yaml"), "utf8"));
    const spec = configTables(config, host, mtu);
    const drop = replayRules(config, "config.yaml");
    const captured = [...readCapture(readFileSync(join(dir, "in.pcap")))];
    const expected = [...readCapture(readFileSync(join(dir, "out.pcap")))];

    const result = offloads ? null : replay(spec, role, captured, 0, drop);
    const counts: Record<string, number> = {};
    for (const verdict of verdicts.flat()) counts[verdict] = (counts[verdict] ?? 0) + 1;
    if (result !== null) {
      assert.deepEqual({ ...result.verdicts }, counts);
      assert.deepEqual(hex(result.out), hex(expected));
      assert.equal(result.packets, verdicts.length);
    }

    // Packet by packet, so that verdicts cannot have changed places.
    if (fixture.link === "ethernet") return;
    const alone = new OfflineHost(spec, role, { drop });
    const out: { bytes: Uint8Array }[] = [];
    verdicts.forEach((expected, i) => {
      const before = alone.verdicts();
      alone.now = captured[i]!.time / 1000;
      out.push(...alone.take(captured[i]!.bytes, offloads?.[i]).map((bytes) => ({ bytes })));
      for (const verdict of [expected].flat()) before[verdict] = (before[verdict] ?? 0) + 1;
      assert.deepEqual(alone.verdicts(), before, `packet ${i + 1}: ${expected}`);
    });
    assert.deepEqual(hex(out), hex(expected));
  });
}
