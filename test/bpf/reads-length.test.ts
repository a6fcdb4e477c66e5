import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeProgram } from "../../src/bpf/program.ts";
import { readsLength } from "../../src/bpf/reads-length.ts";
import { native } from "../../src/io/native.ts";
import { libpcapObstacle } from "../support/libpcap.ts";

const DLT_RAW = 12;
const reads = (expression: string): boolean => readsLength(decodeProgram(native().compileFilter(expression, DLT_RAW)));

test("programs that read how long a packet is", { skip: libpcapObstacle }, () => {
  for (const expression of [
    "greater 1600",
    "less 60",
    "len > 80 and udp",
    "tcp[len - 4:4] = 0",
    "udp port 53 and greater 512",
    "ip[2:2] > 1000",
    "ip[0:4] = 0x45000028",
    "ip6[4:2] > 1000",
    "ip6[4:4] & 0xff00 = 0x1100",
    "udp[4:2] > 500",
    "udp[5] = 9 or tcp",
    "ip[2:2] > 1000 or ip6[4:2] > 1000",
    "ip6[6] = 17 and ip6[44:2] > 100",
  ])
    assert.equal(reads(expression), true, expression);
});

test("programs that do not", { skip: libpcapObstacle }, () => {
  for (const expression of [
    "ip",
    "tcp[tcpflags] = tcp-syn",
    "udp and src port 123",
    "ip[4:2] = 54321",
    "ip[6:2] & 0x1fff != 0",
    "tcp[4:4] = 0",
    "tcp[14:2] = 1024 or icmp",
    "ip6[6] = 6 and ip6[44:4] = 0",
    "ip6[2:2] = 7",
    "udp[8:4] = 0x01020304",
    "src net 198.51.100.0/24 or ip6 src net 2001:db8:c::/48",
    "dst portrange 1-1023 and not port 53",
    "tcp[((tcp[12] & 0xf0) >> 2):4] = 0x47455420",
  ])
    assert.equal(reads(expression), false, expression);
});
