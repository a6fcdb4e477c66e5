import assert from "node:assert/strict";
import { test } from "node:test";
import { configTables } from "../../src/control/offline.ts";
import {
  createTables,
  type HostSpec,
  load,
  outerFamily,
  plainFamily,
  plainMtu,
  plainPath,
  type TablesSpec,
  tablesBytes,
  writeTables,
} from "../../src/shm/forwarding-table.ts";
import { CONFIG, configOf, HOST } from "../support/fixture.ts";

const spec = configTables(configOf(CONFIG), HOST);

function tablesOf(hosts: readonly HostSpec[]) {
  const changed: TablesSpec = { ...spec, hosts };
  const buffer = new ArrayBuffer(tablesBytes(changed));
  writeTables(buffer, changed);
  const tables = createTables();
  load(tables, buffer);
  return tables;
}

test("the one word of a host says what its other words say", () => {
  const own = spec.hosts.find(({ id }) => id === spec.self)!;
  const base: HostSpec = { ...own, id: spec.self + 1, name: "other", mtu: 1480, alive: true };
  const v6: HostSpec["ipv6"] = [0x20010db8 | 0, 0, 0, 1];
  const self: HostSpec = { ...own, ipv4: 0x0a000001, ipv6: v6 };
  for (const ipv4 of [null, 0x0a000002]) {
    for (const ipv6 of [null, v6]) {
      const tables = tablesOf([self, { ...base, ipv4, ipv6 }]);
      const path = plainPath(tables, base.id);
      const family: number = ipv4 !== null ? 4 : ipv6 !== null ? 6 : 0;
      assert.equal(outerFamily(tables, base.id), family);
      assert.equal(plainFamily(path), family);
      assert.equal(plainMtu(path), family === 0 ? 0 : 1480);
    }
  }
  const one = { ...base, ipv4: 0x0a000002, ipv6: null };
  assert.equal(plainPath(tablesOf([self, { ...one, alive: false }]), one.id), 0, "a host that is down");
  assert.equal(plainPath(tablesOf([self, one]), spec.self), 0, "this host");
  assert.equal(plainPath(tablesOf([self, one]), one.id + 1), 0, "an id that no host has any more");
});
