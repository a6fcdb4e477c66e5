import assert from "node:assert/strict";
import { test } from "node:test";
import { echoDatagram, readReply, tcpDatagram } from "../../src/health/probe-packet.ts";
import { probePorts } from "../../src/health/probe-ports.ts";
import { formatAddress, parseAddress } from "../../src/wire/address.ts";
import * as make from "../support/packets.ts";

const FAMILIES = [
  { vip: "192.0.2.10", self: "10.0.1.11", proto: 4 },
  { vip: "2001:db8::10", self: "fd00:1::11", proto: 41 },
];
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const [SYN, RST, ACK] = [0x02, 0x04, 0x10];
const NOTHING = new Uint8Array(0);

for (const { vip, self, proto } of FAMILIES) {
  const ends = { self: parseAddress(self)!, vip: parseAddress(vip)!, from: 61000, to: 80 };
  const gue = (inner: Uint8Array): string => hex(make.concat(make.bytes(0, proto, 0, 0), inner));
  const v4 = proto === 4;

  test(`${vip}: a SYN, as naively written`, () => {
    const segment = make.tcpSegment([self, 61000], [vip, 80], NOTHING, {
      flags: SYN,
      sequence: 7,
      options: make.bytes(2, 4, 1200 >> 8, 1200 & 255),
    });
    // The builder has an acknowledgment number and a window of its own.
    segment.set([0, 0, 0, 0], 8);
    segment.set([8192 >> 8, 8192 & 255, 0, 0], 14);
    const sum = make.transportChecksum(self, vip, 6, segment);
    segment.set([sum >> 8, sum & 255], 16);
    const wanted = make.ip(self, vip, 6, segment, { df: true });
    assert.equal(hex(tcpDatagram(ends, { flags: SYN, sequence: 7, acknowledgment: 0, payload: NOTHING })), gue(wanted));
  });

  test(`${vip}: a request of an odd length has a good checksum`, () => {
    const payload = make.filler(33);
    const datagram = tcpDatagram(ends, { flags: ACK, sequence: 0xfffffff0, acknowledgment: 0x80000001, payload });
    const l4 = datagram.subarray(4 + (v4 ? 20 : 40));
    assert.equal(make.transportChecksum(self, vip, 6, l4), 0);
    assert.deepEqual(l4.subarray(20), payload);
    assert.equal(hex(l4.subarray(4, 12)), "fffffff080000001");
  });

  test(`${vip}: an echo request, as naively written`, () => {
    const wanted = make.icmp(self, vip, v4 ? 8 : 128, 0, [61000 >> 8, 61000 & 255, 0, 1], NOTHING, { df: true });
    assert.equal(hex(echoDatagram(ends)), gue(wanted));
  });

  test(`${vip}: replies are read`, () => {
    const reply = readReply(make.tcp([vip, 80], [self, 61000], make.filler(9), { flags: SYN | ACK, sequence: 5 }));
    assert.ok(reply?.kind === "tcp");
    assert.deepEqual([formatAddress(reply.vip), reply.to, reply.from], [vip, 80, 61000]);
    assert.deepEqual(reply.segment, { flags: SYN | ACK, sequence: 5, acknowledgment: 2000, payload: make.filler(9) });
    const echo = readReply(make.icmp(vip, self, v4 ? 0 : 129, 0, [61000 >> 8, 61000 & 255, 0, 1], NOTHING));
    assert.ok(echo?.kind === "echo" && echo.from === 61000 && formatAddress(echo.vip) === vip);
    const ours = make.tcp([self, 61000], [vip, 80], NOTHING, { flags: SYN });
    for (const quoted of [ours, ours.subarray(0, (v4 ? 20 : 40) + 8)]) {
      const none = readReply(make.icmp(self, self, v4 ? 3 : 1, 1, [0, 0, 0, 0], quoted));
      assert.ok(none?.kind === "unreachable" && none.from === 61000 && formatAddress(none.vip) === vip);
    }
  });

  test(`${vip}: what is cut anywhere is no reply, and nothing throws`, () => {
    const whole = [
      make.tcp([vip, 80], [self, 61000], NOTHING, { flags: RST }),
      make.icmp(vip, self, v4 ? 0 : 129, 0, [1, 2, 0, 1], NOTHING),
      make.icmp(
        vip,
        self,
        v4 ? 3 : 1,
        1,
        [0, 0, 0, 0],
        make.tcp([self, 61000], [vip, 80], NOTHING).subarray(0, (v4 ? 20 : 40) + 7),
      ),
    ];
    assert.equal(readReply(whole[2]!), null);
    for (const packet of whole)
      for (let length = 0; length < packet.length; length++) assert.equal(readReply(packet.subarray(0, length)), null);
  });
}

test("probes come from ports that the kernel gives to nobody", () => {
  assert.deepEqual(probePorts("32768\t60999\n"), { from: 61440, to: 65535 });
  assert.deepEqual(probePorts(null), { from: 61440, to: 65535 });
  assert.deepEqual(probePorts("32768 64000"), { from: 64001, to: 65535 });
  assert.deepEqual(probePorts("10000 65535"), { from: 8976, to: 9999 });
  assert.deepEqual(probePorts("1024 65535"), { from: 512, to: 1023 });
});
