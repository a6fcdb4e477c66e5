import assert from "node:assert/strict";
import { test } from "node:test";
import { formatFlow, parseFlow } from "../../src/steering/flow.ts";

test("flows are read and written", () => {
  for (const text of ["tcp 198.51.100.7:1234 > 192.0.2.10:80", "udp [2001:db8::7]:53 > [2001:db8::10]:443"]) {
    const flow = parseFlow(text);
    assert.ok(typeof flow !== "string", String(flow));
    assert.equal(formatFlow(flow), text);
  }
});

test("an echo flow needs no ports", () => {
  for (const text of ["icmp 198.51.100.7:77 > 192.0.2.10", "icmp [2001:db8::7]:77 > 2001:db8::10"]) {
    const flow = parseFlow(text);
    assert.ok(typeof flow !== "string", String(flow));
    assert.deepEqual([flow.sourcePort, flow.destinationPort], [77, 0]);
  }
});

test("what is not a flow is refused with a reason", () => {
  const cases: [string, RegExp][] = [
    ["", /not of the form/],
    ["sctp 1.2.3.4:1 > 1.2.3.4:2", /not of the form/],
    ["tcp 1.2.3:1 > 1.2.3.4:2", /'1\.2\.3:1' is not an address/],
    ["tcp 1.2.3.4:70000 > 1.2.3.4:2", /not an address with a port/],
    ["tcp 1.2.3.4:1 > [2001:db8::1]:2", /different IP versions/],
    ["tcp 1.2.3.4 > 1.2.3.4:2", /needs both ports/],
  ];
  for (const [text, expected] of cases) assert.match(String(parseFlow(text)), expected, text);
});
