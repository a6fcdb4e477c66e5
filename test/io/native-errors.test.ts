import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { type NativeError, native } from "../../src/io/native.ts";

const folder = mkdtempSync(join(tmpdir(), "hafl-native-"));
after(() => rmSync(folder, { recursive: true }));

/** Asserts that `action` throws a NativeError with exactly this message; code and syscall are read off the message. */
function fails(action: () => unknown, message: string): void {
  assert.throws(action, (error: NativeError) => {
    assert.equal(error.message, message);
    assert.match(message, new RegExp(`^${error.syscall}\\b.*: ${error.code}: `));
    return true;
  });
}

test("missing device", () => {
  fails(
    () => native().openPacketSocket("hafl-nosuch0", -1, 0, null),
    "if_nametoindex on hafl-nosuch0: ENODEV: the device does not exist",
  );
});

test("GUE port taken, address not here", () => {
  const n = native();
  const fd = n.openGueReceiver("127.0.0.1", 46080, false, true, 0);
  fails(
    () => n.openGueReceiver("127.0.0.1", 46080, true, true, 0),
    "bind(UDP) on 127.0.0.1:46080: EADDRINUSE: another program or a tunnel of the kernel holds the port",
  );
  n.close(fd);
  fails(
    () => n.openGueReceiver("203.0.113.9", 46080, false, true, 0),
    "bind(UDP) on 203.0.113.9:46080: EADDRNOTAVAIL: the address is on no device of this machine",
  );
  fails(
    () => n.openGueSender("2001:db8::9", 49152),
    "bind(UDP) on [2001:db8::9]:49152: EADDRNOTAVAIL: the address is on no device of this machine",
  );
});

test("files: locked, missing, too short", () => {
  const n = native();
  const lock = join(folder, "lock");
  const fd = n.lockFile(lock);
  fails(() => n.lockFile(lock), `flock on ${lock}: EWOULDBLOCK: another process holds the lock`);
  n.close(fd);
  n.close(n.lockFile(lock));
  fails(() => n.lockFile(join(folder, "no/lock")), `open on ${folder}/no/lock: ENOENT: the file or its directory does not exist`);
  fails(
    () => n.mapFile(join(folder, "none"), 4096, false),
    `open on ${folder}/none: ENOENT: the file or its directory does not exist`,
  );
  n.mapFile(join(folder, "map"), 4096, true);
  assert.throws(() => n.mapFile(join(folder, "map"), 8192, false), {
    name: "RangeError",
    message: `${folder}/map: 4096 bytes long, 8192 wanted`,
  });
});

test("descriptors that are none, CPUs that are none", () => {
  const n = native();
  fails(() => n.close(100_000), "close: EBADF: Bad file descriptor");
  fails(() => n.createWaiter(Int32Array.of(100_000)), "fstat: EBADF: Bad file descriptor");
  fails(() => n.pinThread(1023), "sched_setaffinity: EINVAL: no such CPU, or this process may not use it");
  const records = new Int32Array(12);
  const receiver = n.createReceiver("gue", 100_000, new Uint8Array(1024), 0, 1024, 1, records);
  fails(() => n.receive(receiver), "recvmmsg: EBADF: Bad file descriptor");
});

test("wrong arguments are refused by name before anything happens", () => {
  const n = native();
  const pool = new Uint8Array(4096);
  const words = new Int32Array(24);
  const wrong: [() => unknown, RegExp][] = [
    [() => n.openPacketSocket("a-name-that-is-too-long", -1, 0, null), /device: 23 bytes long, 1 to 15/],
    [() => n.openPacketSocket("lo", 65536, 0, null), /fanoutGroup: 65536/],
    [() => n.openGueReceiver("127.0.0.1.2", 1, false, false, 0), /127\.0\.0\.1\.2: not an IPv4 or IPv6 address/],
    [() => n.openGueReceiver("127.0.0.1", 65536, false, false, 0), /port: 65536/],
    [() => n.createReceiver("gue", 0, pool, 1, 2048, 2, words), /slots reach beyond the pool/],
    [() => n.createReceiver("gue", 0, pool, 0, 256, 2, words), /slotSize: 256/],
    [() => n.createReceiver("gue", 0, pool, 0, 1024, 3, words), /records: room for fewer than 3/],
    [() => n.createReceiver("gue", 0.5, pool, 0, 1024, 1, words), /fd: 0\.5/],
    [() => n.createReceiver("other" as "gue", 0, pool, 0, 1024, 1, words), /kind: "other"/],
    [
      () => n.createGueSink(pool, 6080, new Int32Array(3), new Int32Array(0), true, words, words, words, words),
      /senders4: 3 descriptors/,
    ],
    [() => n.createTunSink(words as unknown as Uint8Array, 0, words, words, words), /pool: not a Uint8Array/],
    [() => n.createWaiter(new Int32Array(32)), /fds: 32, 1 to 31/],
    [() => n.setFilter(0, new Uint8Array(7)), /filter: 7 bytes/],
    [() => n.send(n.createWaiter(Int32Array.of(0)), 0, 0, 0), /not a sink/],
    [() => n.receive({} as never), /not a handle/],
    [() => n.send(n.createTunSink(pool, 0, words, words, words), 3, 0, 0), /count: 3/],
    [() => (n.wake as () => void)(), /1 arguments expected, 0 given/],
  ];
  for (const [action, message] of wrong) assert.throws(action, { message });
});

const unprivileged = `
  import { native, useAddon } from "${new URL("../../src/io/native.js", import.meta.url).href}";
  if (process.env.HAFL_NATIVE) useAddon(process.env.HAFL_NATIVE);
  for (const open of [() => native().openPacketSocket("lo", -1, 0, null), () => native().openTun("hafl-none0", false)]) {
    try { open(); console.log("opened"); } catch (error) { console.log(error.message); }
  }`;

test("without privileges the missing capability is named", (t) => {
  const nobody = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {};
  const result = spawnSync(process.execPath, ["--input-type=module", "-e", unprivileged], {
    ...nobody,
    encoding: "utf8",
    cwd: "/",
  });
  if (result.status !== 0 && /ENOENT|EACCES|permission denied/i.test(result.stderr))
    return t.skip("the tree is not readable for others");
  const [packet, tun] = result.stdout.trim().split("\n");
  assert.equal(packet, "socket(AF_PACKET) on lo: EPERM: needs CAP_NET_RAW (run as root or grant the capability)", result.stderr);
  assert.match(
    tun!,
    /^(open\(TUN\) on hafl-none0: (EACCES|ENOENT|EPERM)|ioctl\(TUNSETIFF\) on hafl-none0: EPERM: needs CAP_NET_ADMIN)/,
  );
});
